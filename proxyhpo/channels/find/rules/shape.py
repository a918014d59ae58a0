"""Views and copies: dimensions are moved, added, removed, split and merged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from operator import mul

import numpy as np

from proxyhpo.channels.find.labels import FIXED, INSIDE, Dim
from proxyhpo.channels.find.rules import Call, Labels, fixed, rule

RESHAPED = "it is reshaped in a way that mixes its indices"


@rule(
    "clone", "detach", "alias", "lift_fresh", "lift", "_to_copy", "contiguous", "tril", "triu",
    "_conj", "resolve_conj", "resolve_neg", "lift_fresh_copy", "to",
)  # fmt: skip
def same(_: Labels, call: Call) -> list[Dim]:
    """The same shape."""
    return call.dims("self")


@rule("permute")
def permute(_: Labels, call: Call) -> list[Dim]:
    """Dimensions in another order."""
    dims = call.dims("self")
    return [dims[axis] for axis in call["dims"]]


@rule("transpose", "t", "numpy_T")
def transpose(_: Labels, call: Call) -> list[Dim]:
    """Swaps two dimensions."""
    dims = list(call.dims("self"))
    if len(dims) > 1:
        one, other = call.arguments.get("dim0", 0), call.arguments.get("dim1", 1)
        dims[one], dims[other] = dims[other], dims[one]
    return dims


@rule("unsqueeze")
def unsqueeze(_: Labels, call: Call) -> list[Dim]:
    """Adds a dimension of size 1."""
    dims = list(call.dims("self"))
    dims.insert(call.axis(call["dim"], len(dims) + 1), fixed([1])[0])
    return dims


@rule("squeeze")
def squeeze(_: Labels, call: Call) -> list[Dim]:
    """Removes dimensions of size 1."""
    dims = call.dims("self")
    given = call.arguments.get("dim", range(len(dims)))
    axes = {call.axis(axis, len(dims)) for axis in ([given] if isinstance(given, int) else given)}
    return [dim for axis, dim in enumerate(dims) if dim.size != 1 or axis not in axes]


@rule("expand")
def expand(labels: Labels, call: Call) -> list[Dim]:
    """Expands sizes of 1 to sizes given by Python."""
    shape = call.result.shape
    dims = [*fixed([1] * (len(shape) - len(call.dims("self")))), *call.dims("self")]
    return [_stretched(labels, dim, size) for dim, size in zip(dims, shape, strict=True)]


@rule("repeat")
def repeat(labels: Labels, call: Call) -> list[Dim]:
    """Repeats dimensions several times."""
    shape = call.result.shape
    dims = [*fixed([1] * (len(shape) - len(call.dims("self")))), *call.dims("self")]
    return [
        _stretched(labels, dim, size) if dim.size == 1 else np.tile(dim, size // dim.size)
        for dim, size in zip(dims, shape, strict=True)
    ]


@rule("flip")
def flip(_: Labels, call: Call) -> list[Dim]:
    """Reverses indices. Positions change, so both ends must agree."""
    dims = call.dims("self")
    axes = {call.axis(axis, len(dims)) for axis in call["dims"]}
    return [dim[::-1] if axis in axes else dim for axis, dim in enumerate(dims)]


@rule("roll")
def roll(labels: Labels, call: Call) -> list[Dim]:
    """Shifts indices by a number that Python gave, so the dimension is kept."""
    dims = list(call.dims("self"))
    for axis in call["dims"]:
        dim = dims[axis]
        labels.protect(dim[dim > 0], RESHAPED)
    return dims


@rule("unfold")
def windows(labels: Labels, call: Call) -> list[Dim]:
    """Windows over a dimension, which is kept."""
    dims = list(call.dims("self"))
    axis = call.axis(call["dimension"], len(dims))
    labels.protect(dims[axis][dims[axis] > 0], f"{call.operator} slides along it")
    dims[axis] = fixed([call.result.shape[axis]])[0]
    return [*dims, *fixed(call.result.shape[-1:])]


@rule("as_strided")
def as_strided(labels: Labels, call: Call) -> list[Dim]:
    """A dimension that keeps size and stride is the same one, as the width of windows of tokens.

    All others are kept.
    """
    dims, source, result = call.dims("self"), call["self"], call.result
    if [dim.size for dim in dims] == list(result.shape):
        return dims
    places = list(zip(result.shape, result.stride(), strict=True))
    out = fixed(result.shape)
    for dim, place in zip(dims, zip(source.shape, source.stride(), strict=True), strict=True):
        size, stride = place
        others = [step for other, step in places if other > 1 and (other, step) != place]
        if (
            places.count(place) == 1
            and result.storage_offset() == source.storage_offset()
            and all(step % (size * stride) == 0 for step in others if step >= stride)
        ):
            out[places.index(place)] = dim
        else:
            labels.protect(dim[dim > 0], RESHAPED)
    return out


@rule("view_as_complex")
def view_as_complex(labels: Labels, call: Call) -> list[Dim]:
    """The last dimension holds a real and an imaginary part."""
    *dims, pair = call.dims("self")
    labels.protect(pair[pair > 0], INSIDE)
    return dims


@rule("view_as_real")
def view_as_real(_: Labels, call: Call) -> list[Dim]:
    """The inverse of :func:`view_as_complex`."""
    return [*call.dims("self"), *fixed([2])]


@rule("_fft_r2c", "_fft_c2c", "_fft_c2r")
def fourier(labels: Labels, call: Call) -> list[Dim]:
    """A dimension whose size is unchanged passes: with fewer channels the transform is shorter.

    A dimension of which only half of the frequencies are computed is kept.
    """
    dims = list(call.dims("self"))
    for axis in call["dim"]:
        size = call.result.shape[axis]
        if size != dims[axis].size:
            labels.protect(dims[axis][dims[axis] > 0], f"{call.operator} transforms it")
            dims[axis] = fixed([size])[0]
    return dims


@rule("pixel_shuffle")
def pixel_shuffle(labels: Labels, call: Call) -> list[Dim]:
    """Blocks of r² channels become r x r pixels of one."""
    *batch, channels, _, _ = call.dims("self")
    blocks = channels.reshape(-1, call["upscale_factor"] ** 2)
    labels.tie(blocks.T)
    return [*batch, np.ascontiguousarray(blocks[:, 0]), *fixed(call.result.shape[-2:])]


@rule("pixel_unshuffle")
def pixel_unshuffle(labels: Labels, call: Call) -> list[Dim]:
    """The inverse of :func:`pixel_shuffle`."""
    del labels
    *batch, channels, _, _ = call.dims("self")
    repeated = np.repeat(channels, call["downscale_factor"] ** 2)
    return [*batch, repeated, *fixed(call.result.shape[-2:])]


@rule("channel_shuffle", "native_channel_shuffle")
def channel_shuffle(labels: Labels, call: Call) -> list[Dim]:
    """(groups, offset) → (offset, groups): groups lose the same offsets."""
    batch, channels, *pixels = call.dims("self")
    matrix = channels.reshape(call["groups"], -1)
    labels.tie(matrix)
    return [batch, matrix.T.ravel(), *pixels]


@rule("view", "_unsafe_view", "reshape", "_reshape_alias", "view_copy")
def view(labels: Labels, call: Call) -> list[Dim]:
    """Splits and merges dimensions, in blocks of equal product."""
    if call.result.numel() == 0 or "size" not in call.arguments:
        return fixed(call.result.shape)
    out = fixed(call.result.shape)
    old = [dim for dim in call.dims("self") if dim.size > 1]
    places = [axis for axis, size in enumerate(call.result.shape) if size > 1]
    new = [call.result.shape[axis] for axis in places]
    for before, after in _blocks([dim.size for dim in old], new):
        made = _reshaped(labels, [old[i] for i in before], [new[j] for j in after])
        for j, dim in zip(after, made, strict=True):
            out[places[j]] = dim
    return out


def _stretched(labels: Labels, dim: Dim, size: int) -> Dim:
    if dim.size == size:
        return dim
    return labels.new(size, solid=False) if size > 1 else fixed([size])[0]


def _blocks(old: Sequence[int], new: Sequence[int]) -> Iterator[tuple[list[int], list[int]]]:
    """The shortest runs of dimensions, before and after, with equally many elements."""
    i = j = 0
    while i < len(old):
        before, after = [i], [j]
        left, right = old[i], new[j]
        while left != right:
            if left < right:
                before.append(before[-1] + 1)
                left *= old[before[-1]]
            else:
                after.append(after[-1] + 1)
                right *= new[after[-1]]
        i, j = before[-1] + 1, after[-1] + 1
        yield before, after


def _reshaped(labels: Labels, dims: list[Dim], sizes: list[int]) -> list[Dim]:
    """Splits each dimension at the borders of the new ones, and merges the pieces."""
    borders = sorted({*accumulate((dim.size for dim in dims), mul), *accumulate(sizes, mul)})
    if any(border % below for below, border in pairwise(borders)):
        for dim in dims:
            labels.protect(dim[dim != FIXED], RESHAPED)
        return fixed(sizes)
    factors = [border // below for below, border in zip([1, *borders], borders, strict=False)]
    remaining = iter(factors)
    pieces = iter([p for dim in dims for p in labels.divide(dim, _take(remaining, dim.size))])
    again = iter(factors)
    return [labels.merge([next(pieces) for _ in _take(again, size)]) for size in sizes]


def _take(factors: Iterator[int], product: int) -> list[int]:
    """Takes as many factors as make up the product."""
    taken: list[int] = []
    reached = 1
    while reached < product:
        taken.append(next(factors))
        reached *= taken[-1]
    return taken
