"""Plain values, and sequences of them as bins of the interval [0, 1]."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast, final

import numpy as np
from typing_extensions import override

from proxyhpo.errors import ConfigError

__all__ = [
    "Steps",
    "bin_centre",
    "copied",
    "find",
    "in_bin",
    "is_number",
    "is_plain",
    "is_whole",
    "python_value",
    "rounded",
]

_DIGITS = 10  # more than the errors of log, exp and the division by the range


@final
@dataclass(frozen=True)
class Steps(Sequence[float]):
    """The numbers low, low + step, ..., high; like ``range`` for floats.

    >>> list(Steps(0.0, 0.3, 0.1))
    [0.0, 0.1, 0.2, 0.3]
    """

    low: float
    high: float
    step: float

    def __len__(self) -> int:
        return round((self.high - self.low) / self.step) + 1

    @override
    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        position = range(len(self))[index]
        if position in {0, len(self) - 1}:  # the bounds are exact
            return self.high if position else self.low
        return rounded(self.low + position * self.step, self.step)

    @override
    def index(self, value: float, start: int = 0, stop: int | None = None) -> int:
        position = round((value - self.low) / self.step)
        if position not in range(*slice(start, stop).indices(len(self))) or self[position] != value:
            raise ValueError(f"{value!r} is not in the sequence")
        return position


def find(values: Sequence[Any], value: object) -> int | None:
    """The index of a value, or None. Unlike ``==``, it distinguishes 1, 1.0 and True.

    >>> find([1, True, 1.0], True)
    1
    """
    if isinstance(values, (range, Steps)):  # may be long, but has one type
        try:
            return values.index(cast("Any", value))
        except ValueError:
            return None
    same = (i for i, v in enumerate(values) if type(v) is type(value) and v == value)
    return next(same, None)


def bin_centre(values: Sequence[Any], value: object) -> float:
    """The centre of a value's bin if [0, 1] is divided into equal bins, one per value."""
    index = find(values, value)
    if index is None:
        raise ConfigError(f"{value!r} is not among the values")
    return (2 * index + 1) / (2 * len(values))


def in_bin(values: Sequence[Any], fraction: float) -> Any:
    """The value whose bin contains ``fraction``."""
    numerator, denominator = fraction.as_integer_ratio()  # exact also for many values
    return values[min(numerator * len(values) // denominator, len(values) - 1)]


def rounded(value: float, scale: float) -> float:
    """The value rounded to ten significant digits of ``scale``; never a negative zero.

    >>> rounded(0.1 + 0.2, 1)
    0.3
    """
    return round(value, _DIGITS - 1 - math.floor(math.log10(scale))) + 0.0


def python_value(value: object) -> Any:
    """The plain Python value of a NumPy scalar; other values are returned unchanged."""
    return value.item() if isinstance(value, np.generic) else value


def is_number(value: object) -> bool:
    """Whether it is an int or a float, and not a bool."""
    return type(value) in {int, float}


def is_whole(value: Any) -> bool:
    """Whether it is an int, or a float such as 3.0."""
    return type(value) is int or (type(value) is float and value.is_integer())


def is_plain(value: Any) -> bool:
    """Whether it is a scalar that JSON restores unchanged."""
    if type(value) is float:
        return math.isfinite(value)
    return value is None or type(value) in {bool, int, str}


def copied(option: Any) -> Any:
    """A deep copy of an object, or the object itself if it cannot be copied.

    >>> options = [1, [2]]
    >>> copied(options)[1].append(3)
    >>> options
    [1, [2]]
    """
    try:
        return copy.deepcopy(option)
    except Exception:  # noqa: BLE001 - whatever the user's object raises: locks, open files, graphs
        return option
