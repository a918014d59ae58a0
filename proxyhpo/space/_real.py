"""A real number, on a linear or a log scale, continuous or in steps."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, final

from typing_extensions import override

from proxyhpo.errors import ConfigError, SpaceError
from proxyhpo.space._checks import (
    checked_condition,
    checked_range,
    explained,
    in_steps,
    not_dividing,
)
from proxyhpo.space._hyperparameter import Hyperparameter
from proxyhpo.space._values import (
    Steps,
    bin_centre,
    in_bin,
    is_number,
    python_value,
    rounded,
)

__all__ = ["Float"]


@final
@explained("Float(1e-4, 1, log=True)")
@dataclass(frozen=True, repr=False)
class Float(Hyperparameter):
    """A real number between two bounds, both included.

    Args:
        low: the smallest value.
        high: the greatest value; may equal ``low``.
        log: whether equal ratios, rather than equal differences, are equally likely.
        step: if given, the values are ``low``, ``low + step``, ..., ``high``; not with ``log``.
        when: (name, value) or (name, [values]): active only if that other hyperparameter has (one
            of) these values.

    Raises:
        SpaceError: names the argument that is invalid.

    >>> Float(1e-4, 1, log=True).decode(0.5)
    0.01
    >>> list(Float(0.0, 0.3, step=0.1).values)
    [0.0, 0.1, 0.2, 0.3]
    """

    low: float
    high: float
    log: bool = field(default=False, kw_only=True)
    step: float | None = field(default=None, kw_only=True)
    when: tuple[str, Any] | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        low, high, step = checked_range(self.low, self.high, self.step, log=self.log)
        if max(abs(low), abs(high), high - low) > sys.float_info.max:
            raise SpaceError(f"the range from {low!r} to {high!r} is too wide for a float")
        steps = (high - low) / step if step else 0
        if not math.isclose(steps, round(steps), rel_tol=1e-12, abs_tol=1e-6):
            raise not_dividing(low, high, step)
        self._set(
            low=float(low) + 0.0,
            high=float(high) + 0.0,
            step=None if step is None else float(step),
            when=checked_condition(self.when),
        )

    @property
    @override
    def values(self) -> Sequence[float] | None:
        if self.low == self.high:
            return (self.low,)
        return None if self.step is None else Steps(self.low, self.high, self.step)

    @property
    @override
    def allowed(self) -> str:
        return f"a number in [{self.low}, {self.high}]{in_steps(self.step)}"

    @override
    def encode(self, value: float) -> float:
        if self.values is not None:
            return bin_centre(self.values, value)
        low, high = self._ends()
        return ((math.log(value) if self.log else value) - low) / (high - low)

    @override
    def decode(self, fraction: float) -> float:
        if self.values is not None:
            return float(in_bin(self.values, fraction))
        if fraction in {0, 1}:  # rounding must not hide the bounds
            return self.high if fraction else self.low
        low, high = self._ends()
        place = low + fraction * (high - low)
        value = math.exp(place) if self.log else place
        span = self.high - self.low
        value = rounded(value, min(value, span) if self.log else span)
        return min(max(value, self.low), self.high)

    @override
    def canonical(self, value: object) -> float:
        given = python_value(value)
        if not is_number(given) or not self.low <= given <= self.high:
            raise ConfigError(f"must be {self.allowed}, got {given!r}")
        if self.values is None or self.step is None:
            return float(given) + 0.0  # avoids negative zero, which would be another config
        nearest = float(self.values[round((given - self.low) / self.step)])
        if abs(given - nearest) > 1e-6 * self.step:
            raise ConfigError(f"must be {self.allowed}, got {given!r}; the nearest is {nearest!r}")
        return nearest

    def _ends(self) -> tuple[float, float]:
        return (math.log(self.low), math.log(self.high)) if self.log else (self.low, self.high)
