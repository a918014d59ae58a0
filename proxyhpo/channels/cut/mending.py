"""Updates the sizes that Python objects of a network remember.

For torch's modules there is one small function per type. In other modules an integer that equals a
changed size may or may not be that size. Such integers are candidates, which are tried by running
the network.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.modules.instancenorm import _InstanceNorm

__all__ = [
    "Candidate",
    "CandidateId",
    "Edit",
    "apply_edits",
    "candidates",
    "integers",
    "known_edits",
]

Path = tuple[str | int, ...]
"""Attributes and indices, starting at a module."""

Edit = tuple[str, Path, Any]
"""Module name, path of attributes and indices, new value."""

Sizes = Callable[[str], Sequence[int] | None]
"""Module name → the shape of its first input in the smaller network, if known."""


def known_edits(network: nn.Module, sizes: Sizes) -> list[Edit]:
    """The attributes of torch's modules that must change because their tensors are smaller."""
    edits: list[Edit] = []
    for name, module in network.named_modules():
        for kind, mend in _MENDERS.items():
            if isinstance(module, kind):
                values = mend(module, sizes(name))
                edits.extend(
                    (name, (attribute,), value)
                    for attribute, value in values.items()
                    if getattr(module, attribute) != value
                )
                break
    return edits


def apply_edits(network: nn.Module, edits: Sequence[Edit]) -> None:
    """Sets attributes, also within tuples, lists, mappings and plain objects."""
    for name, path, value in edits:
        module: Any = network.get_submodule(name)
        state = _state(module)
        if state is None:
            _set(module, path, value)
        else:
            state = copy.deepcopy(state)
            _set(state, path, value)
            mode = module.training
            module.__setstate__(state)
            module.train(mode)


CandidateId = tuple[str, Path, int, str | None]
"""Module type, path of attributes, index among the possible sizes, and a single module."""


@dataclass(frozen=True)
class Candidate:
    """An attribute of one module type, and its possible new values.

    Args:
        id: identifies it.
        edits: one for each module of the type in which it equals a changed size.
    """

    id: CandidateId
    edits: tuple[Edit, ...]


def candidates(
    network: nn.Module, changed: Mapping[str, Mapping[int, Sequence[int]]]
) -> list[Candidate]:
    """Every integer attribute that equals a size that changed in its module.

    An attribute is assumed to mean the same in all modules of one type. If a size was replaced by
    several sizes in a module, that module also has its own candidates.

    Args:
        network: the full network, or a copy that has its integers.
        changed: module that ran → old size → its new sizes there, most likely first.
    """
    places: dict[tuple[str, Path], list[tuple[str, Sequence[int]]]] = {}
    for name, module in network.named_modules():
        if _is_known(module):
            continue
        sizes = _sizes_in(name, changed)
        for path, value in integers(module):
            if value in sizes:
                alike = places.setdefault((type(module).__qualname__, path), [])
                alike.append((name, sizes[value]))
    found = []
    for (kind, path), alike in places.items():
        for choice in range(max(len(some) for _, some in alike)):
            edits = [(name, path, some[min(choice, len(some) - 1)]) for name, some in alike]
            found.append(Candidate((kind, path, choice, None), tuple(edits)))
        for name, some in alike if len(alike) > 1 else ():
            for choice, size in enumerate(some if len(some) > 1 else ()):
                found.append(Candidate((kind, path, choice, name), ((name, path, size),)))
    return found


def _is_known(module: nn.Module) -> bool:
    """Whether it is of one of torch's own types, and mended by :func:`known_edits`."""
    return type(module).__module__.startswith("torch.") and isinstance(module, tuple(_MENDERS))


def _sizes_in(
    name: str, changed: Mapping[str, Mapping[int, Sequence[int]]]
) -> Mapping[int, Sequence[int]]:
    """The sizes of the module itself, or of its parent if it is only a container."""
    while name and name not in changed:
        name = name.rpartition(".")[0]
    return changed.get(name, {})


def integers(module: nn.Module) -> Iterator[tuple[Path, int]]:
    """Path and value of every integer that a module remembers, also in its containers."""
    private = vars(nn.Module()).keys()
    for attribute, value in (_state(module) or vars(module)).items():
        if attribute not in private:
            yield from _inside(value, (attribute,), depth=2)


def _state(module: nn.Module) -> dict[str, Any] | None:
    """The state that a module is copied and pickled by, if it derives its attributes from it.

    An attribute of such a module would be lost in the next copy (einops' layers, for example).
    """
    kinds = (kind for kind in type(module).__mro__ if "__getstate__" in vars(kind))
    kind: Any = next(kinds, nn.Module)  # since Python 3.11 every object has this method
    if kind is nn.Module or "__setstate__" not in vars(kind):
        return None
    state = kind.__getstate__(module)
    return state if isinstance(state, dict) and "_modules" not in state else None


def _inside(value: Any, path: Path, depth: int) -> Iterator[tuple[Path, int]]:
    if isinstance(value, int) and not isinstance(value, bool):
        yield path, value
    elif depth == 0 or isinstance(value, (nn.Module, Tensor, type)) or callable(value):
        return
    elif isinstance(value, (tuple, list)):
        for index, part in enumerate(value):
            yield from _inside(part, (*path, index), depth - 1)
    elif isinstance(value, dict):
        for key, part in value.items():
            if isinstance(key, (str, int)):
                yield from _inside(part, (*path, key), depth - 1)
    elif hasattr(value, "__dict__"):
        for name, part in vars(value).items():
            yield from _inside(part, (*path, name), depth - 1)


def _set(holder: Any, path: Path, value: Any) -> None:
    first, *rest = path
    if rest:
        inner = _get(holder, first)
        if isinstance(inner, tuple):
            changed = list(inner)
            _set(changed, tuple(rest), value)
            made = type(inner)(*changed) if hasattr(inner, "_fields") else type(inner)(changed)
            _set(holder, (first,), made)
        else:
            _set(inner, tuple(rest), value)
    elif isinstance(holder, (list, dict)):
        holder[first] = value  # type: ignore[index]  # an index of a list, or a key
    else:
        object.__setattr__(holder, str(first), value)  # also sets attributes of frozen dataclasses


def _get(holder: Any, key: str | int) -> Any:
    if isinstance(holder, (list, tuple, dict)):
        return holder[key]  # type: ignore[index]  # an index of a sequence, or a key
    return getattr(holder, str(key))


# torch's modules: from smaller tensors to the attributes that must match them.


def _linear(module: nn.Linear, _: Any) -> dict[str, Any]:
    rows, columns = module.weight.shape
    return {"out_features": rows, "in_features": columns}


def _bilinear(module: nn.Bilinear, _: Any) -> dict[str, Any]:
    names = ("out_features", "in1_features", "in2_features")
    return dict(zip(names, module.weight.shape, strict=True))


def _convolution(module: _ConvNd, _: Any) -> dict[str, Any]:
    first, second = module.weight.shape[:2]
    turned = isinstance(module, _ConvTransposeNd)
    inner, outer = (first, second) if turned else (second, first)
    groups = module.groups
    if groups > 1:  # the number of groups stays, unless each was one channel
        groups = first if turned and groups == module.in_channels else groups
        if not turned and groups == module.in_channels:
            groups = outer * groups // module.out_channels
    channels = (inner, outer * groups) if turned else (inner * groups, outer)
    return {"in_channels": channels[0], "out_channels": channels[1], "groups": groups}


def _channel_norm(module: _NormBase, size: Sequence[int] | None) -> dict[str, Any]:
    for tensor in (module.weight, module.running_mean):
        if tensor is not None:
            return {"num_features": len(tensor)}
    if size is None:
        return {}
    return {"num_features": size[0] if _unbatched(module, size) else size[1]}


def _unbatched(module: _NormBase, size: Sequence[int]) -> bool:
    return isinstance(module, _InstanceNorm) and len(size) == module._get_no_batch_dim()  # type: ignore[no-untyped-call]  # noqa: SLF001 - torch untyped, and no other way to know


def _group_norm(module: nn.GroupNorm, size: Sequence[int] | None) -> dict[str, Any]:
    if module.weight is not None:
        channels = len(module.weight)
    elif size is not None:
        channels = size[1]
    else:
        return {}
    groups = channels if module.num_groups == module.num_channels else module.num_groups
    return {"num_channels": channels, "num_groups": groups}


def _last_norm(module: nn.LayerNorm, size: Sequence[int] | None) -> dict[str, Any]:
    if module.weight is not None:
        return {"normalized_shape": tuple(module.weight.shape)}
    count = len(module.normalized_shape)
    return {} if size is None else {"normalized_shape": tuple(size[-count:])}


def _embedding(module: nn.Embedding, _: Any) -> dict[str, Any]:
    rows, columns = module.weight.shape
    return {"num_embeddings": rows, "embedding_dim": columns}


def _recurrent(module: Any, _: Any) -> dict[str, Any]:
    gates = {"LSTM": 4, "GRU": 3}.get(module.mode, 1)
    values = {
        "input_size": module.weight_ih_l0.shape[1],
        "hidden_size": module.weight_ih_l0.shape[0] // gates,
    }
    if module.proj_size:
        values["proj_size"] = module.weight_hr_l0.shape[0]
    return values


def _cell(module: nn.RNNCellBase, _: Any) -> dict[str, Any]:
    return {"input_size": module.weight_ih.shape[1], "hidden_size": module.weight_hh.shape[1]}


def _attention(module: nn.MultiheadAttention, _: Any) -> dict[str, Any]:
    embed = module.out_proj.weight.shape[0]
    keys, values = embed, embed
    if module.in_proj_weight is None:
        keys, values = module.k_proj_weight.shape[1], module.v_proj_weight.shape[1]
    return {
        "embed_dim": embed,
        "head_dim": embed // module.num_heads,
        "kdim": keys,
        "vdim": values,
    }


def _prelu(module: nn.PReLU, _: Any) -> dict[str, Any]:
    return {"num_parameters": len(module.weight)}


_MENDERS: Mapping[type[nn.Module], Callable[[Any, Sequence[int] | None], dict[str, Any]]] = {
    nn.Linear: _linear,
    nn.Bilinear: _bilinear,
    _ConvNd: _convolution,
    _NormBase: _channel_norm,
    nn.GroupNorm: _group_norm,
    nn.LayerNorm: _last_norm,
    nn.RMSNorm: _last_norm,
    nn.Embedding: _embedding,
    nn.EmbeddingBag: _embedding,
    nn.RNNBase: _recurrent,
    nn.RNNCellBase: _cell,
    nn.MultiheadAttention: _attention,
    nn.PReLU: _prelu,
}
