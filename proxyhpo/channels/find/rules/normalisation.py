"""Normalisations: scales, shifts and running statistics are removed with their channels."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from proxyhpo.channels.find.rules import Call, Dim, Labels, ResultDims, fixed, rule


@rule(
    "native_batch_norm", "_native_batch_norm_legit", "_native_batch_norm_legit_no_training",
    "_batch_norm_with_update", "_batch_norm_no_update", "cudnn_batch_norm", "miopen_batch_norm",
    "batch_norm", "_batch_norm_impl_index",
)  # fmt: skip
def batch_norm(labels: Labels, call: Call) -> ResultDims:
    """One scale, shift, mean and variance for each channel."""
    source, *channelwise = call.tensors()
    dims = call.dims(source)
    for tensor in channelwise:
        labels.join(dims[1], call.dims(tensor)[0])
    return _with_statistics(call, dims, dims[1])


@rule("native_layer_norm", "_fused_rms_norm")
def layer_norm(labels: Labels, call: Call) -> ResultDims:
    """Scales and shifts have the shape of the last dimensions."""
    source, *affine = call.tensors()
    dims = call.dims(source)
    for tensor in affine:
        own = call.dims(tensor)
        for dim, other in zip(dims[-len(own) :], own, strict=True):
            labels.join(dim, other)
    count = len(call["normalized_shape"])
    inner = [fixed([1])[0]] * count
    return dims, *([*dims[:-count], *inner] for _ in call.result[1:])


@rule("native_group_norm")
def group_norm(labels: Labels, call: Call) -> ResultDims:
    """Groups are kept and lose the same offsets; a group of one channel is removed with it."""
    source, *channelwise = call.tensors()
    dims = call.dims(source)
    alone = call["group"] == dims[1].size
    if not alone:
        labels.tie(dims[1].reshape(call["group"], -1))
    for tensor in channelwise:
        labels.join(dims[1], call.dims(tensor)[0])
    groups = dims[1] if alone else fixed([call["group"]])[0]
    return dims, *([dims[0], groups] for _ in call.result[1:])


@rule("_weight_norm_interface")
def weight_norm(labels: Labels, call: Call) -> ResultDims:
    """A direction ``v`` and a length ``g`` along one dimension."""
    dims, lengths = call.dims("v"), call.dims("g")
    for dim, length in zip(dims, lengths, strict=True):
        if length.size > 1:
            labels.join(dim, length)
    return dims, lengths


def _with_statistics(call: Call, dims: list[Dim], channels: Dim) -> ResultDims:
    if isinstance(call.result, Tensor):
        return dims
    others = [out for out in call.result[1:] if isinstance(out, Tensor)]
    return dims, *(
        [channels] if out.shape == channels.shape else _none(out.shape) for out in others
    )


def _none(shape: tuple[int, ...]) -> list[Dim]:
    return [np.zeros(size, np.int64) for size in shape]
