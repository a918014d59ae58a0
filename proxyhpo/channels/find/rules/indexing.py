"""Slicing, concatenation and lookup: labels move with their indices."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from proxyhpo.channels.find.labels import ROWS, Dim
from proxyhpo.channels.find.rules import Call, Labels, ResultDims, fixed, rule


@rule("cat")
def cat(labels: Labels, call: Call) -> list[Dim]:
    """Concatenates along a dimension; the other dimensions are joined."""
    parts = [call.dims(part) for part in call["tensors"] if part.numel() or part.ndim > 1]
    axis = call.axis(call["dim"], len(parts[0]))
    out = _joined(labels, parts, axis)
    out[axis] = np.concatenate([part[axis] for part in parts])
    return out


@rule("stack")
def stack(labels: Labels, call: Call) -> list[Dim]:
    """Stacks along a new dimension."""
    parts = [call.dims(part) for part in call["tensors"]]
    out = _joined(labels, parts, None)
    out.insert(call.axis(call["dim"], len(out) + 1), fixed([len(parts)])[0])
    return out


@rule("split", "unsafe_split", "split_with_sizes", "unsafe_split_with_sizes")
def split(labels: Labels, call: Call) -> ResultDims:
    """Pieces of a dimension. Equal pieces stay equal, since they will be cut equally again."""
    dims = call.dims("self")
    axis = call.axis(call["dim"], len(dims))
    sizes = [piece.shape[axis] for piece in call.result]
    if len(set(sizes)) == 1 and len(sizes) > 1:
        labels.tie(dims[axis].reshape(len(sizes), -1))
    pieces = np.split(dims[axis], np.cumsum(sizes)[:-1])
    if len(set(sizes)) > 1:
        for piece in pieces:
            _count_apart(labels, piece)
    return tuple([*dims[:axis], piece, *dims[axis + 1 :]] for piece in pieces)


@rule("slice")
def cut(labels: Labels, call: Call) -> list[Dim]:
    """A range of indices. Those inside and outside form separate groups."""
    dims = list(call.dims("self"))
    axis = call.axis(call["dim"], len(dims))
    whole = dims[axis]
    dims[axis] = whole[call["start"] : call["end"] : call["step"]]
    if whole.size > dims[axis].size:
        _count_apart(labels, dims[axis])
    return dims


@rule("select")
def select(labels: Labels, call: Call) -> list[Dim]:
    """A single index, which must be kept if more than the result's shape is used."""
    del labels
    dims = list(call.dims("self"))
    dim = dims.pop(call.axis(call["dim"], len(dims)))
    call.when_read.append((dim, _why_picked(call)))
    return dims


@rule("unbind")
def unbind(labels: Labels, call: Call) -> ResultDims:
    """Every single index."""
    dims = list(call.dims("self"))
    _pick(labels, call, dims.pop(call.axis(call["dim"], len(dims))))
    return tuple(dims for _ in call.result)


@rule("index", "index_put", "_unsafe_index")
def index(labels: Labels, call: Call) -> list[Dim]:
    """Looks up along the dimensions that have an index; the others pass."""
    dims = call.dims("self")
    places = [axis for axis, where in enumerate(call["indices"]) if where is not None]
    covered = _covered(call["indices"])
    for axis in covered:
        _pick(labels, call, dims[axis])
    rest = [dim for axis, dim in enumerate(dims) if axis not in covered]
    adjacent = places == list(range(places[0], places[-1] + 1))
    front = places[0] if adjacent else 0
    if call.operator == "aten::index_put":  # values are stretched to the shape of what index gives
        for dim, value in zip(reversed(rest[front:]), reversed(call.dims("values")), strict=False):
            if dim.size == value.size:
                labels.join(dim, value)
        return dims
    found = fixed(call.result.shape[front : front + call.result.ndim - len(rest)])
    return [*rest[:front], *found, *rest[front:]]


@rule("index_select", "index_add", "index_copy", "index_fill", "scatter", "scatter_add", "gather",
      "scatter_reduce", "take_along_dim", "select_scatter", "slice_scatter", "topk", "sort",
      "argsort", "cummax", "cummin", "_cummax_helper")  # fmt: skip
def along(labels: Labels, call: Call) -> ResultDims:
    """Picks, reorders or writes along one dimension, which must be kept."""
    dims = list(call.dims("self"))
    axis = call.axis(call["dim"], len(dims))
    _pick(labels, call, dims[axis])
    outs = [call.result] if isinstance(call.result, Tensor) else call.result
    made = []
    for out in outs:
        own = [_pass(dim, size) for dim, size in zip(dims, out.shape, strict=True)]
        own[axis] = fixed([out.shape[axis]])[0]
        made.append(own)
    _join_sources(labels, call, dims, axis)
    return made[0] if isinstance(call.result, Tensor) else tuple(made)


@rule("embedding")
def embedding(labels: Labels, call: Call) -> list[Dim]:
    """Rows are looked up; columns are channels."""
    rows, columns = call.dims("weight")
    labels.protect(rows[rows > 0], ROWS)
    return [*call.dims("indices"), columns]


@rule("_embedding_bag", "_embedding_bag_forward_only")
def embedding_bag(labels: Labels, call: Call) -> ResultDims:
    """The same, summed over bags."""
    rows, columns = call.dims("weight")
    labels.protect(rows[rows > 0], ROWS)
    first, *others = call.result
    return [*fixed(first.shape[:1]), columns], *(fixed(out.shape) for out in others)


@rule("_pack_padded_sequence")
def pack(_: Labels, call: Call) -> ResultDims:
    """Puts the steps of all sequences into one dimension; features pass."""
    data, sizes = call.result
    return [*fixed(data.shape[:1]), *call.dims("input")[2:]], fixed(sizes.shape)


@rule("_pad_packed_sequence")
def unpack(_: Labels, call: Call) -> ResultDims:
    """The inverse of :func:`pack`."""
    data, lengths = call.result
    return [*fixed(data.shape[:2]), *call.dims("data")[1:]], fixed(lengths.shape)


def _joined(labels: Labels, parts: list[list[Dim]], but: int | None) -> list[Dim]:
    out = list(parts[0])
    for part in parts[1:]:
        for axis, dim in enumerate(part):
            if axis != but:
                labels.join(out[axis], dim)
    return out


def _covered(indices: list[Tensor | None]) -> list[int]:
    """The dimensions that are looked up; a boolean mask covers several."""
    axis = 0
    covered: list[int] = []
    for where in indices:
        width = where.ndim if where is not None and where.dtype.itemsize == 1 else 1
        if where is not None:
            covered.extend(range(axis, axis + width))
        axis += width
    return covered


def _count_apart(labels: Labels, piece: Dim) -> None:
    """Makes these a separate group, so that a fixed share of them is kept."""
    if piece.size and not labels.protected(piece).all():
        labels.join(piece, labels.new(piece.size, solid=False))
        labels.cut_evenly(piece, piece.size)


def _pick(labels: Labels, call: Call, dim: Dim) -> None:
    """Protects a dimension whose single indices matter: rows of a table, or channels."""
    labels.protect(dim[dim > 0], _why_picked(call))


def _why_picked(call: Call) -> str:
    of_data = call.is_data(call["self"])
    return f"{call.operator} picks single indices of it" if of_data else ROWS


def _pass(dim: Dim, size: int) -> Dim:
    return dim if dim.size == size else fixed([size])[0]


def _join_sources(labels: Labels, call: Call, dims: list[Dim], axis: int) -> None:
    """Joins the other dimensions of everything that is read or written along this one."""
    for name in ("source", "src"):
        tensor = call.arguments.get(name)
        if not isinstance(tensor, Tensor) or tensor.ndim != len(dims):
            continue
        for other, dim in enumerate(call.dims(tensor)):
            if other != axis and dim.size == dims[other].size:
                labels.join(dims[other], dim)
