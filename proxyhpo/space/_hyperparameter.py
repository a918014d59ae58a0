"""The base class of hyperparameters: Float, Int and Choice, each one dimension of a space.

A hyperparameter maps its values to the interval [0, 1] and back, so that every searcher can work in
the unit cube. A countable one (with a step, an Int, a Choice) divides the interval into bins of
equal width, one for each value, and encodes a value as the centre of its bin. On a log scale the
width of a bin is that of its whole number. A continuous one rounds to ten significant digits of its
range, so that printed values can be entered again and give the same config.

They are plain data, in a canonical form. A bad definition is rejected when it is created.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import fields
from typing import Any, cast

__all__ = ["Hyperparameter"]


class Hyperparameter(ABC):
    """The common interface of Float, Int and Choice."""

    when: tuple[str, Any] | None
    """(name, values): active only if that hyperparameter has one of these values."""

    @property
    @abstractmethod
    def values(self) -> Sequence[Any] | None:
        """All values in order, computed lazily if there are many; None if continuous."""

    @property
    @abstractmethod
    def allowed(self) -> str:
        """What is allowed, in words that follow "must be"."""

    @abstractmethod
    def encode(self, value: Any) -> float:
        """The position of a valid value in [0, 1]."""

    @abstractmethod
    def decode(self, fraction: float) -> Any:
        """The value at ``fraction`` in [0, 1]."""

    @abstractmethod
    def canonical(self, value: object) -> Any:
        """The same value as a plain Python value of this hyperparameter's type.

        Raises:
            ConfigError: if it is not allowed.
        """

    @property
    def size(self) -> float:
        """The number of values: an int, or ``math.inf`` if continuous."""
        return math.inf if self.values is None else len(self.values)

    def to_json(self) -> dict[str, Any]:
        """The definition as plain JSON data."""
        names = [f.name for f in fields(cast("Any", self))]
        return {"type": type(self).__name__.lower(), **{n: getattr(self, n) for n in names}}

    def _set(self, **values: object) -> None:
        """Replaces arguments by their canonical form, when the definition is created."""
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        shown = [
            f"{f.name}={value!r}" if f.kw_only else repr(value)
            for f in fields(cast("Any", self))
            if (value := getattr(self, f.name)) != f.default
        ]
        return f"{type(self).__name__}({', '.join(shown)})"
