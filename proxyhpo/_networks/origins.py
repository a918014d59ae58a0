"""Which weights of a network are pretrained, and which are merely equal in every build.

A weight that is equal in two builds under different seeds was not drawn at random. It may have been
loaded, or computed by a formula: an identity, sinusoids, the ``A_log`` of a state-space layer. A
proxy *inherits* both unchanged. The *network* is considered pretrained only if most of its weight
matrices seem to have been loaded, judging by their values.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from proxyhpo._networks.fans import fans_of
from proxyhpo._networks.initialisation import is_constant

__all__ = ["Origin", "Origins", "compared", "origins", "sampled"]

_SAMPLE = 65_536  # number of entries of each parameter that are compared
_MOST = 0.5
_PARAMETRIZED = ".parametrizations."


@dataclass(frozen=True)
class Origin:
    """Where one parameter comes from.

    Args:
        entries: number of its entries.
        is_matrix: whether products sum over it.
        is_constant: whether all its entries are equal, as in a bias of zeros.
        is_equal: whether most of its entries are equal in two builds.
        is_varied: whether most of its entries differ from each other. This holds for trained
            weights, but not for an identity.
    """

    entries: int
    is_matrix: bool
    is_constant: bool
    is_equal: bool
    is_varied: bool


@dataclass(frozen=True)
class Origins:
    """Which parameters are considered pretrained.

    Args:
        inherited: names of the parameters that a proxy inherits unchanged.
        share: fraction of the entries of its weight matrices that are pretrained.
        is_pretrained: whether the network as a whole is considered pretrained.
    """

    inherited: frozenset[str]
    share: float
    is_pretrained: bool


def origins(found: Mapping[str, Origin], unused: Collection[str] = ()) -> Origins:
    """Decides by the share of matrices that are pretrained, in number and in entries.

    Args:
        found: parameter name → where it comes from.
        unused: names of parameters that no output depends on; these are ignored.
    """
    drawn_or_loaded = {n: o for n, o in found.items() if not o.is_constant and n not in unused}
    matrices = {n: o for n, o in drawn_or_loaded.items() if o.is_matrix} or drawn_or_loaded
    loaded = [o for o in matrices.values() if o.is_equal and o.is_varied]
    share = sum(o.entries for o in loaded) / max(sum(o.entries for o in matrices.values()), 1)
    return Origins(
        inherited=frozenset(n for n, o in found.items() if o.is_equal and not o.is_constant),
        share=share,
        is_pretrained=share >= _MOST and len(loaded) >= _MOST * len(matrices),
    )


def sampled(network: nn.Module) -> dict[str, Tensor]:
    """Some entries of every parameter, and of every weight that a parametrization computes."""
    tensors: dict[str, Tensor] = dict(network.named_parameters())
    with torch.no_grad():
        for path, module in network.named_modules():
            if is_parametrized(module):
                for name in module.parametrizations:
                    tensors[_joined(path, name)] = getattr(module, name)
        return {name: _entries(tensor) for name, tensor in tensors.items()}


def compared(network: nn.Module, earlier: Mapping[str, Tensor]) -> dict[str, Origin]:
    """Parameter name → where it comes from.

    Args:
        network: from a second build.
        earlier: the entries sampled from the first build.
    """
    now, fans = sampled(network), fans_of(network)
    return {
        name: Origin(
            entries=parameter.numel(),
            is_matrix=fans[name].fan_in is not None,
            is_constant=is_constant(parameter),
            is_equal=all(_is_equal(earlier.get(key), now[key]) for key in _keys(name, now)),
            is_varied=_is_varied(now[name]),
        )
        for name, parameter in network.named_parameters()
    }


def _keys(name: str, known: Collection[str]) -> list[str]:
    """A parameter and the weight computed from it, whose randomness may come from a buffer."""
    if _PARAMETRIZED not in name:
        return [name]
    path, _, inner = name.partition(_PARAMETRIZED)
    computed = _joined(path, inner.partition(".")[0])
    return [name, computed] if computed in known else [name]


def _entries(tensor: Tensor) -> Tensor:
    tensor = tensor.detach()
    flat = (torch.view_as_real(tensor) if tensor.is_complex() else tensor).reshape(-1)
    step = -(-flat.numel() // _SAMPLE) or 1
    return flat[::step].to("cpu", copy=True)


def _is_equal(before: Tensor | None, now: Tensor) -> bool:
    """Whether most entries are equal. Zeros, as in padding or masks, are ignored."""
    if before is None or before.shape != now.shape:
        return False
    told = (before != 0) | (now != 0)
    return int((told & (before == now)).sum()) >= _MOST * max(int(told.sum()), 1)


def _is_varied(entries: Tensor) -> bool:
    few = entries[:4096]
    return len(np.unique(few.float().numpy())) >= _MOST * len(few)


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
