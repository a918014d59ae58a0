"""Pooling, resizing and padding: channels pass, pixels are kept."""

from __future__ import annotations

import re

import numpy as np
from torch import Tensor

from proxyhpo.channels.find.labels import OUTPUT
from proxyhpo.channels.find.rules import Call, Dim, Labels, ResultDims, fixed, rule


@rule(
    "avg_pool1d", "avg_pool2d", "avg_pool3d", "max_pool1d", "max_pool2d_with_indices",
    "max_pool3d_with_indices", "_adaptive_avg_pool2d", "_adaptive_avg_pool3d",
    "adaptive_avg_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d", "max_unpool2d",
    "max_unpool3d", "fractional_max_pool2d", "fractional_max_pool3d",
    "upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d",
    "_upsample_nearest_exact1d", "_upsample_nearest_exact2d", "_upsample_nearest_exact3d",
    "upsample_linear1d", "upsample_bilinear2d", "upsample_trilinear3d", "upsample_bicubic2d",
    "_upsample_bilinear2d_aa", "_upsample_bicubic2d_aa", "grid_sampler_2d", "grid_sampler_3d",
    "reflection_pad1d", "reflection_pad2d", "reflection_pad3d",
    "replication_pad1d", "replication_pad2d", "replication_pad3d", "mkldnn_max_pool2d",
)  # fmt: skip
def spatial(labels: Labels, call: Call) -> ResultDims:
    """The last dimensions are pixels; the operator's name says how many there are."""
    found = re.search(r"(\d)d", call.operator)
    assert found is not None
    dims = call.dims(call.tensors()[0])
    leading, pixels = dims[: -int(found[1])], dims[-int(found[1]) :]
    for inside in pixels:
        labels.protect(inside[inside > 0], f"{call.operator} slides along it")
    outs = [call.result] if isinstance(call.result, Tensor) else call.result
    made = tuple([*leading, *fixed(out.shape[len(leading) :])] for out in outs)
    return made[0] if isinstance(call.result, Tensor) else made


@rule("torchvision::nms")
def boxes(labels: Labels, call: Call) -> list[Dim]:
    """Coordinates of boxes and their scores, which are outputs of a detector."""
    for dim in (*call.dims("dets"), *call.dims("scores")):
        labels.protect(dim[dim > 0], OUTPUT)
    return fixed(call.result.shape)


@rule("torchvision::roi_align", "torchvision::roi_pool")
def regions(labels: Labels, call: Call) -> ResultDims:
    """Of each region of an image, its channels on a grid."""
    _, channels, *pixels = call.dims("input")
    for dim in (*pixels, *call.dims("rois")):
        labels.protect(dim[dim > 0], f"{call.operator} slides along it")
    outs = [call.result] if isinstance(call.result, Tensor) else call.result
    made = tuple([*fixed(out.shape[:1]), channels, *fixed(out.shape[2:])] for out in outs)
    return made[0] if isinstance(call.result, Tensor) else made


@rule("constant_pad_nd")
def pad(labels: Labels, call: Call) -> list[Dim]:
    """Padding beside channels has a size that Python gave; beside pixels it is fixed."""
    dims = list(call.dims("self"))
    amounts = call["pad"]
    for axis, (before, after) in enumerate(zip(amounts[::2], amounts[1::2], strict=True), start=1):
        dims[-axis] = _padded(labels, dims[-axis], before, after)
    return dims


@rule("im2col")
def unfold(labels: Labels, call: Call) -> list[Dim]:
    """Patches: every channel becomes one row for each position of the kernel."""
    del labels
    *batch, channels, _, _ = call.dims("self")
    rows = np.repeat(channels, int(np.prod(call["kernel_size"])))
    return [*batch, rows, *fixed(call.result.shape[-1:])]


@rule("col2im")
def fold(labels: Labels, call: Call) -> list[Dim]:
    """Combines patches again; the inverse of :func:`unfold`."""
    *batch, rows, _ = call.dims("self")
    matrix = rows.reshape(-1, int(np.prod(call["kernel_size"])))
    labels.tie(matrix.T)
    return [*batch, np.ascontiguousarray(matrix[:, 0]), *fixed(call.result.shape[-2:])]


def _padded(labels: Labels, dim: Dim, before: int, after: int) -> Dim:
    def beside(count: int) -> Dim:
        moves = not labels.protected(dim).all()
        return labels.new(count, solid=False) if moves and count > 1 else fixed([count])[0]

    inside = dim[max(0, -before) : dim.size - max(0, -after)]  # a negative amount crops
    return np.concatenate([beside(max(0, before)), inside, beside(max(0, after))])
