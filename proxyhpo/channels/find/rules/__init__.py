"""What each operator does to labels: one small function an operator.

A *rule* is called for every operator of a forward, after it has run. It joins the labels that
must live and die together, and returns the labels of what came out::

    @rule("mm")
    def mm(labels: Labels, call: Call) -> list[Dim]:
        rows, inner = call.dims("self")
        also_inner, columns = call.dims("mat2")
        labels.join(inner, also_inner)      # summed over: one goes, the other goes
        call.sums_over("self", "mat2", inner, also_inner)
        return [rows, columns]

What an operator without a rule touches is protected, and reported by the operator's name. A rule
for one of your own operators, or for one of torch's that has none here, is such a function, offered
by an entry point in the group ``proxyhpo.operator_rules`` whose name is the operator's
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

__all__ = ["Call", "Dim", "Labels", "Result", "Rule", "find_rule", "fixed", "rule", "temporary"]

Result = list[Dim] | tuple[list[Dim], ...]
"""The labels of each dimension of the tensor that came out; a tuple where several did."""

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
    """What is known of tensors."""

    def dims(self, tensor: Tensor) -> list[Dim]:
        """The labels of each dimension."""

    def is_data(self, tensor: Tensor) -> bool:
        """Whether it depends on the inputs."""


@dataclass
class Call:
    """One operator at work.

    Args:
        operator: name, such as ``aten::mm``; the same for its in-place form.
        arguments: every argument by the name in the operator's schema, defaults included.
        result: what it returned.
        tensors_known: gives the labels of a tensor, and whether it depends on the inputs.
    """

    operator: str
    arguments: Mapping[str, Any]
    result: Any
    tensors_known: Known
    summed: list[Dim] = field(default_factory=list)
    """Labels of weights' dimensions that products with data sum over."""
    when_read: list[tuple[Dim, str]] = field(default_factory=list)
    """Labels to protect once the values of the result are used, and why: its shape may be all that
    is asked for."""

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
        """Every tensor among the arguments, in order, those in lists too."""
        found: list[Tensor] = []
        for value in self.arguments.values():
            parts = value if isinstance(value, (list, tuple)) else [value]
            found.extend(part for part in parts if isinstance(part, Tensor))
        return found

    def axis(self, value: int, ndim: int) -> int:
        """A dimension's number counted from the front."""
        return value % ndim if ndim else 0

    def sums_over(self, left: str, right: str, left_dim: Dim, right_dim: Dim) -> None:
        """Notes a product's inner dimension, where one factor is a weight and one is data."""
        for name, dim, other in ((left, left_dim, right), (right, right_dim, left)):
            if not self.is_data(self[name]) and self.is_data(self[other]):
                self.summed.append(dim)


Rule = Callable[[Labels, Call], Result]

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
    """Makes a rule the one for an operator, for a while, as in a test; or none, as if unknown."""

    def unknown(_: Labels, call: Call) -> Result:
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
    """The rule for an operator: a built-in, a plug-in's, or that of all pointwise ones."""
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
    """Dimensions whose sizes the inputs decide."""
    return [np.full(size, FIXED, np.int64) for size in sizes]
