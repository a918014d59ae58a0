"""What each operator does to labels: one small function per operator.

A *rule* is called for every operator of a forward pass, after it has run. It joins the labels that
must be removed together, and returns the labels of the result::

    @rule("mm")
    def mm(labels: Labels, call: Call) -> list[Dim]:
        rows, inner = call.dims("self")
        also_inner, columns = call.dims("mat2")
        labels.join(inner, also_inner)      # summed over, so removed together
        call.sums_over("self", "mat2", inner, also_inner)
        return [rows, columns]

Tensors of an operator without a rule are protected and reported under the operator's name. A rule
for your own operator, or for one of torch's that has none here, is such a function. Register it as
an entry point in the group ``proxyhpo.operator_rules`` under the operator's name
(``mylib::myop``, ``aten::linalg_inv_ex``).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from proxyhpo import _plugins as plugins
from proxyhpo.channels.find.labels import FIXED, Dim, Labels

__all__ = ["Call", "Dim", "Labels", "ResultDims", "Rule", "find_rule", "fixed", "rule", "temporary"]

ResultDims = list[Dim] | tuple[list[Dim], ...]
"""The labels of each dimension of the result; a tuple if there are several results."""

_FAMILIES = (
    "contractions",
    "factories",
    "indexing",
    "normalisation",
    "pointwise",
    "reductions",
    "shape",
    "spatial",
)


class Known(Protocol):
    """What is known about tensors."""

    def dims(self, tensor: Tensor) -> list[Dim]:
        """The labels of each dimension."""

    def is_data(self, tensor: Tensor) -> bool:
        """Whether it depends on the inputs."""


@dataclass
class Call:
    """One call of an operator.

    Args:
        operator: its name, such as ``aten::mm``; the same for its in-place form.
        arguments: every argument by its name in the operator's schema, including defaults.
        result: what it returned.
        tensors_known: gives the labels of a tensor, and whether it depends on the inputs.
    """

    operator: str
    arguments: Mapping[str, Any]
    result: Any
    tensors_known: Known
    summed: list[Dim] = field(default_factory=list)
    """Labels of weights' dimensions over which products with data sum."""
    when_read: list[tuple[Dim, str]] = field(default_factory=list)
    """Labels to protect if the values of the result are used, with the reason. They are not
    protected if only its shape is used. Of several results, this is about the last one."""

    def __getitem__(self, name: str) -> Any:
        return self.arguments[name]

    def dims(self, argument: str | Tensor) -> list[Dim]:
        """The labels of each dimension of an argument that is a tensor."""
        tensor = self.arguments[argument] if isinstance(argument, str) else argument
        return self.tensors_known.dims(tensor)

    def is_data(self, tensor: Tensor) -> bool:
        """Whether a tensor depends on the inputs."""
        return self.tensors_known.is_data(tensor)

    def tensors(self) -> list[Tensor]:
        """Every tensor among the arguments, in order, including those in lists."""
        found: list[Tensor] = []
        for value in self.arguments.values():
            parts = value if isinstance(value, (list, tuple)) else [value]
            found.extend(part for part in parts if isinstance(part, Tensor))
        return found

    def axis(self, value: int, ndim: int) -> int:
        """A dimension's index counted from the front."""
        return value % ndim if ndim else 0

    def sums_over(self, left: str, right: str, left_dim: Dim, right_dim: Dim) -> None:
        """Records a product's inner dimension if one factor is a weight and the other is data."""
        for name, dim, other in ((left, left_dim, right), (right, right_dim, left)):
            if not self.is_data(self[name]) and self.is_data(self[other]):
                self.summed.append(dim)


Rule = Callable[[Labels, Call], ResultDims]

_RULES: dict[str, Rule] = {}


def rule(*operators: str) -> Callable[[Rule], Rule]:
    """Registers a rule for aten operators, by names without overload or trailing underscore."""

    def add(function: Rule) -> Rule:
        for operator in operators:
            name = operator if "::" in operator else f"aten::{operator}"
            assert name not in _RULES, name
            _RULES[name] = function
        return function

    return add


@contextmanager
def temporary(operator: str, function: Rule | None) -> Iterator[None]:
    """Within the block, uses this rule for an operator; None makes the operator unknown."""

    def unknown(_: Labels, call: Call) -> ResultDims:
        raise LookupError(f"no rule for {call.operator}")

    _load_families()
    before = _RULES.get(operator)
    _RULES[operator] = function or unknown
    try:
        yield
    finally:
        del _RULES[operator]
        if before is not None:
            _RULES[operator] = before


def find_rule(operator: str, function: torch._ops.OpOverload) -> Rule | None:
    """The rule for an operator: a built-in one, a plug-in's, or the one of pointwise operators."""
    _load_families()
    found = _RULES.get(operator) or _plugged(operator)
    if found is None and torch.Tag.pointwise in function.tags:
        return _RULES["aten::add"]
    return found


@lru_cache(maxsize=1)
def _load_families() -> None:
    for family in _FAMILIES:
        importlib.import_module(f"{__name__}.{family}")


def _plugged(operator: str) -> Rule | None:
    if operator not in plugins.names("proxyhpo.operator_rules"):
        return None
    found: Rule = plugins.load("proxyhpo.operator_rules", operator)
    return found


def fixed(sizes: Sequence[int]) -> list[Dim]:
    """Dimensions whose sizes the inputs determine."""
    return [np.full(size, FIXED, np.int64) for size in sizes]
