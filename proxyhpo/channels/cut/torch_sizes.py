"""The sizes that torch's own modules remember, by type."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.modules.instancenorm import _InstanceNorm

__all__ = ["is_known", "sizes_of"]


def is_known(module: nn.Module) -> bool:
    """Whether it is of one of torch's own types, and described by :func:`sizes_of`."""
    return type(module).__module__.startswith("torch.") and isinstance(module, tuple(_READERS))


def sizes_of(module: nn.Module, size: Sequence[int] | None) -> dict[str, Any]:
    """The attributes that must match the module's tensors; empty for another type of module.

    Args:
        module: with smaller tensors.
        size: the shape of its first input, if known.
    """
    for kind, read in _READERS.items():
        if isinstance(module, kind):
            return read(module, size)
    return {}


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


_READERS: Mapping[type[nn.Module], Callable[[Any, Sequence[int] | None], dict[str, Any]]] = {
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
