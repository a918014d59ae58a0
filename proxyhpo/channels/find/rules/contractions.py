"""Products: the dimension that is summed over joins both factors."""

from __future__ import annotations

import numpy as np

from proxyhpo.channels.find.labels import INSIDE
from proxyhpo.channels.find.rules import Call, Dim, Labels, fixed, rule


@rule("mm", "bmm", "_sparse_mm")
def matrix_product(labels: Labels, call: Call) -> list[Dim]:
    """(n, k) @ (k, m), with or without a batch dimension."""
    left, right = ("sparse", "dense") if "sparse" in call.arguments else ("self", "mat2")
    return _product(labels, call, left, right)


@rule("addmm", "_addmm_activation", "addbmm", "baddbmm", "_sparse_addmm")
def product_and_sum(labels: Labels, call: Call) -> list[Dim]:
    """The same, plus a bias."""
    batched = "batch1" in call.arguments
    out = _product(labels, call, *(("batch1", "batch2") if batched else ("mat1", "mat2")))
    out = out[-call.result.ndim :]  # addbmm sums over the batch
    _add(labels, out, call.dims("self"))
    return out


@rule("_grouped_mm")
def grouped_product(labels: Labels, call: Call) -> list[Dim]:
    """Each run of rows times a matrix of its own, as of experts; offsets say where runs end.

    Where neither factor has a dimension of groups, their inner dimension consists of the runs, and
    the result has one.
    """
    *batch, rows, inner = call.dims("self")
    *others, also_inner, columns = call.dims("mat2")
    labels.join(inner, also_inner)
    call.sums_over("self", "mat2", inner, also_inner)
    if call["bias"] is not None:
        labels.join(columns, call.dims("bias")[-1])
    if batch and others:
        labels.join(batch[0], others[0])
        return [*batch, rows, columns]
    return [rows, columns] if batch or others else [*fixed(call.result.shape[:1]), rows, columns]


@rule("mv", "addmv")
def matrix_vector(labels: Labels, call: Call) -> list[Dim]:
    """(n, k) @ (k)."""
    matrix = "self" if call.operator == "aten::mv" else "mat"
    rows, inner = call.dims(matrix)
    [vector] = call.dims("vec")
    labels.join(inner, vector)
    call.sums_over(matrix, "vec", inner, vector)
    if matrix == "mat":
        _add(labels, [rows], call.dims("self"))
    return [rows]


@rule("dot", "vdot")
def dot(labels: Labels, call: Call) -> list[Dim]:
    """Both operands are summed over."""
    [left], [right] = call.dims("self"), call.dims(call.tensors()[1])
    labels.join(left, right)
    return []


@rule("addr")
def outer(labels: Labels, call: Call) -> list[Dim]:
    """Every pair of indices, added to a matrix."""
    out = [*call.dims("vec1"), *call.dims("vec2")]
    _add(labels, out, call.dims("self"))
    return out


@rule("linear")
def linear(labels: Labels, call: Call) -> list[Dim]:
    """X @ weight.T + bias, if it was not decomposed."""
    *batch, inner = call.dims("input")
    rows, columns = call.dims("weight")
    labels.join(inner, columns)
    call.sums_over("input", "weight", inner, columns)
    if call["bias"] is not None:
        labels.join(rows, call.dims("bias")[0])
    return [*batch, rows]


@rule("_trilinear")
def trilinear(labels: Labels, call: Call) -> list[Dim]:
    """Three operands, each expanded by dimensions of size 1, multiplied and partly summed."""
    names = ("i1", "i2", "i3")
    opened = {name: _opened(call.dims(name), call[f"expand{name[1]}"]) for name in names}
    out = []
    for axis in range(len(opened["i1"])):
        dims = [opened[name][axis] for name in names]
        size = max(dim.size for dim in dims)
        wide = [dim for dim in dims if dim.size == size]
        for dim in wide[1:]:
            labels.join(wide[0], dim)
        if axis not in call["sumdim"]:
            out.append(wide[0])
        elif not call.is_data(call["i2"]):  # the weight of a bilinear layer
            call.summed.append(opened["i2"][axis])
    return out


@rule("_euclidean_dist", "_cdist_forward")
def distance(labels: Labels, call: Call) -> list[Dim]:
    """Distances between rows: the features are summed over."""
    left, right = (call.dims(tensor) for tensor in call.tensors()[:2])
    labels.join(left[-1], right[-1])
    return [*left[:-1], right[-2]]


@rule("convolution", "_convolution")
def convolution(labels: Labels, call: Call) -> list[Dim]:
    """Channels are summed over, within groups; kernel sizes and pixels are kept."""
    batch, channels, *pixels = call.dims("input")
    first, second, *kernel = call.dims("weight")
    pixels = [_passed(labels, call, axis, pixel) for axis, pixel in enumerate(pixels)]
    for inside in kernel:
        labels.protect(inside[inside > 0], INSIDE)
    groups = call["groups"]
    if call["transposed"]:
        out = _transposed(labels, channels, first, second, groups)
        inner = first
    else:
        out = _grouped(labels, channels, first, second, groups)
        inner = second
    call.sums_over("input", "weight", channels, inner)
    call.summed.extend(kernel if not call.is_data(call["weight"]) else ())
    if call["bias"] is not None:
        labels.join(out, call.dims("bias")[0])
    return [batch, out, *pixels]


def _passed(labels: Labels, call: Call, axis: int, pixels: Dim) -> Dim:
    """Passes the dimension on if its size is unchanged; otherwise its size must be kept.

    In the first case the kernel may slide along channels. With fewer channels it then covers other
    neighbours, as in a network that was built narrow.
    """
    size = call.result.shape[2 + axis]
    if size == pixels.size:
        return pixels
    labels.protect(pixels[pixels > 0], f"{call.operator} slides along it")
    return fixed([size])[0]


def _grouped(labels: Labels, channels: Dim, out: Dim, inner: Dim, groups: int) -> Dim:
    if groups == 1:
        labels.join(channels, inner)
    elif inner.size == 1:  # depthwise: a channel is removed with its outputs
        labels.join(np.repeat(channels, out.size // groups), out)
    else:  # every group is kept and loses the same offsets, so that sizes stay equal
        labels.tie(channels.reshape(groups, -1))
        labels.join(channels.reshape(groups, -1)[0], inner)
        labels.tie(out.reshape(groups, -1))
    return out


def _transposed(labels: Labels, channels: Dim, inner: Dim, out: Dim, groups: int) -> Dim:
    labels.join(channels, inner)
    if groups == 1:
        return out
    if out.size == 1 and groups == channels.size:  # depthwise
        return channels
    labels.tie(channels.reshape(groups, -1))
    return np.tile(out, groups)


def _product(labels: Labels, call: Call, left: str, right: str) -> list[Dim]:
    *batch, rows, inner = call.dims(left)
    *others, also_inner, columns = call.dims(right)
    labels.join(inner, also_inner)
    for one, other in zip(batch, others, strict=True):
        labels.join(one, other)
    call.sums_over(left, right, inner, also_inner)
    return [*batch, rows, columns]


def _add(labels: Labels, out: list[Dim], added: list[Dim]) -> None:
    for one, other in zip(reversed(out), reversed(added), strict=False):
        if one.size == other.size > 1:
            labels.join(one, other)


def _opened(dims: list[Dim], places: list[int]) -> list[Dim]:
    rest = iter(dims)
    count = len(dims) + len(places)
    return [fixed([1])[0] if axis in places else next(rest) for axis in range(count)]
