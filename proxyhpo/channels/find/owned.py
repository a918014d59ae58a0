"""Labels of a network's own tensors: its parameters, buffers and plain tensor attributes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from proxyhpo.channels.find.labels import FIXED, INSIDE, Dim, Labels
from proxyhpo.channels.find.rules import fixed
from proxyhpo.channels.find.skeleton import owned_tensors

__all__ = [
    "UNUSED",
    "contracted",
    "join_siblings",
    "labelled",
    "protect_insides",
    "protect_rest",
    "still_owned",
]

IGNORED = "it is excluded by ignore"
UNUSED = "no operator uses it on example_inputs"


def labelled(labels: Labels, tensor: Tensor) -> list[Dim]:
    """New labels for the dimensions of a tensor."""
    if tensor.layout != torch.strided:  # for example a sparse adjacency matrix
        return fixed(tensor.shape)
    return [labels.new(size) if size > 1 else fixed([size])[0] for size in tensor.shape]


def still_owned(network: nn.Module, owned: Mapping[str, list[Dim]]) -> dict[str, Tensor]:
    """The tensors that are known by name, except those that a forward pass has replaced."""
    return {
        name: tensor
        for name, tensor in owned_tensors(network).items()
        if name in owned and [dim.size for dim in owned[name]] == list(tensor.shape)
    }


def protect_insides(network: nn.Module, labels: Labels, owned: Mapping[str, list[Dim]]) -> None:
    """Protects the kernels of convolutions before a parametrization reshapes them."""
    insides = [name for name, module in network.named_modules() if isinstance(module, _ConvNd)]
    for name, dims in owned.items():
        if name.startswith(tuple(f"{inside}." for inside in insides) or ("\0",)):
            for dim in dims[2:]:
                labels.protect(dim[dim > 0], INSIDE)


def join_siblings(
    network: nn.Module, labels: Labels, owned: Mapping[str, list[Dim]], unused: set[str]
) -> None:
    """Treats unused entries of a module list like the entries that were used.

    An expert to which no example was sent has the same structure as the others, and may be used
    instead of them later.
    """
    for prefix, module in network.named_modules():
        if isinstance(module, (nn.ModuleList, nn.ModuleDict)):
            reached, waiting = _siblings(prefix, module, owned, unused)
            for kind, path in waiting:
                for key in network.get_submodule(path).state_dict():
                    for twin in reached.get(kind, ()):
                        pairs = zip(owned[f"{twin}.{key}"], owned[f"{path}.{key}"], strict=True)
                        for dim, other in pairs:
                            labels.join(dim, other)
                        unused.discard(f"{path}.{key}")


def _siblings(
    prefix: str,
    container: nn.Module,
    owned: Mapping[str, list[Dim]],
    unused: AbstractSet[str],
) -> tuple[dict[object, list[str]], list[tuple[object, str]]]:
    """The first used entry of each kind, and (kind, name) of those that were not used."""
    reached: dict[object, list[str]] = {}
    waiting: list[tuple[object, str]] = []
    for name, part in container.named_children():
        path = f"{prefix}.{name}" if prefix else name
        inner = {key: tuple(tensor.shape) for key, tensor in part.state_dict().items()}
        known = {f"{path}.{key}" for key in inner}
        kind = type(part), tuple(inner.items())
        if not known or not known <= owned.keys():
            continue
        if known <= unused:
            waiting.append((kind, path))
        elif not known & unused:
            reached.setdefault(kind, [path])
    return reached, waiting


def protect_rest(
    labels: Labels, owned: Mapping[str, list[Dim]], ignore: Sequence[str], unused: AbstractSet[str]
) -> None:
    """Protects tensors that are excluded, and those that no operator used."""
    for name, dims in owned.items():
        ignored = any(name == other or name.startswith(f"{other}.") for other in ignore)
        if ignored or name in unused:
            for dim in dims:
                labels.protect(dim[dim > 0], IGNORED if ignored else UNUSED)


def contracted(
    labels: Labels, owned: Mapping[str, list[Dim]], summed: Sequence[Dim]
) -> dict[str, tuple[int, ...]]:
    """The dimensions of parameters to which the labels belong, through all reshapes."""
    hit = np.zeros(len(labels.all()), np.bool_)
    for dim in summed:
        hit[dim] = True
    for made, sources in reversed(labels.sources):
        if hit[made].any():
            for source in sources:
                hit[source] = True
    hit[FIXED] = False
    return {
        name: tuple(axis for axis, dim in enumerate(dims) if hit[dim].any())
        for name, dims in owned.items()
    }
