"""Reductions: the dimensions that are summed over may become narrower."""

from __future__ import annotations

from torch import Tensor

from proxyhpo.channels.find.rules import Call, Dim, Labels, ResultDims, fixed, rule

_WITH_PLACES = {f"aten::{name}" for name in ("max", "min", "median", "nanmedian", "mode")}
_WITH_PLACES |= {"aten::kthvalue"}
"""Operators that return values and, along a dimension, their places."""


@rule(
    "sum", "nansum", "mean", "prod", "amax", "amin", "any", "all", "max", "min", "argmax", "argmin",
    "var", "std", "var_mean", "std_mean", "logsumexp", "linalg_vector_norm", "norm", "aminmax",
    "median", "nanmedian", "mode", "count_nonzero", "kthvalue", "_linalg_check_errors",
)  # fmt: skip
def reduction(labels: Labels, call: Call) -> ResultDims:
    """Removes the reduced dimensions, or keeps them with size 1."""
    operands = call.tensors()
    if len(operands) > 1 and call.operator in ("aten::max", "aten::min"):  # of two tensors
        return _elementwise(labels, call)
    dims = call.dims(operands[0])
    kept = _left(call, dims)
    with_places = call.operator in _WITH_PLACES and not isinstance(call.result, Tensor)
    if with_places or call.operator in ("aten::argmax", "aten::argmin"):
        # Places mean nothing among fewer.
        gone = [dims[axis] for axis in _axes(call, dims)]
        call.when_read.extend((dim, f"{call.operator} picks single indices of it") for dim in gone)
    if isinstance(call.result, Tensor):
        return kept
    return tuple(kept for _ in call.result)


def _axes(call: Call, dims: list[Dim]) -> set[int]:
    """The dimensions that are reduced."""
    given = call.arguments.get("dim")
    axes = range(len(dims)) if given is None or given == [] else given
    axes = [axes] if isinstance(axes, int) else axes
    return {call.axis(axis, len(dims)) for axis in axes}


def _left(call: Call, dims: list[Dim]) -> list[Dim]:
    gone = _axes(call, dims)
    out = call.result if isinstance(call.result, Tensor) else call.result[0]
    if out.ndim == len(dims):
        return [fixed([1])[0] if axis in gone else dim for axis, dim in enumerate(dims)]
    return [dim for axis, dim in enumerate(dims) if axis not in gone]


def _elementwise(labels: Labels, call: Call) -> list[Dim]:
    left, right = (call.dims(tensor) for tensor in call.tensors()[:2])
    for one, other in zip(left, right, strict=True):
        if one.size == other.size:
            labels.join(one, other)
    return [
        one if one.size >= other.size else other for one, other in zip(left, right, strict=True)
    ]
