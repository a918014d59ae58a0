"""A whole number, on a linear or a log scale."""

from __future__ import annotations

import math
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
from proxyhpo.space._values import bin_centre, in_bin, is_whole, python_value

__all__ = ["Int"]

_LARGEST = 2**62  # so that len() can return the number of values


@final
@explained("Int(16, 256, log=True)")
@dataclass(frozen=True, repr=False)
class Int(Hyperparameter):
    """A whole number between two bounds, both included.

    Args:
        low: the smallest value.
        high: the greatest value; may equal ``low``.
        log: whether equal ratios, rather than equal differences, are equally likely.
        step: if given, the values are ``low``, ``low + step``, ..., ``high``; not with ``log``.
        when: (name, value) or (name, [values]): active only if that other hyperparameter has (one
            of) these values.

    Raises:
        SpaceError: names the argument that is invalid.

    Encoding and decoding distinguish up to 2**52 values (on a log scale: values up to 2**40).
    Beyond that, decoding still gives valid values.

    >>> Int(16, 64, step=16).decode(0.99)
    64
    """

    low: int
    high: int
    log: bool = field(default=False, kw_only=True)
    step: int | None = field(default=None, kw_only=True)
    when: tuple[str, Any] | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        low, high, step = checked_range(self.low, self.high, self.step, log=self.log)
        for name, number in {"low": low, "high": high, "step": step}.items():
            if number is not None and not (is_whole(number) and abs(number) < _LARGEST):
                raise SpaceError(f"{name} must be a whole number within 2**62, got {number!r}")
        if step and (high - low) % step:
            raise not_dividing(low, high, step)
        self._set(
            low=int(low),
            high=int(high),
            step=None if step in {None, 1} else int(step),
            when=checked_condition(self.when),
        )

    @property
    @override
    def values(self) -> Sequence[int]:
        return range(self.low, self.high + 1, self.step or 1)

    @property
    @override
    def allowed(self) -> str:
        return f"a whole number in [{self.low}, {self.high}]{in_steps(self.step)}"

    @override
    def encode(self, value: int) -> float:
        if not self.log:
            return bin_centre(self.values, value)
        low, high = self._ends()
        return ((math.log(value - 0.5) + math.log(value + 0.5)) / 2 - low) / (high - low)

    @override
    def decode(self, fraction: float) -> int:
        if not self.log:
            return int(in_bin(self.values, fraction))
        low, high = self._ends()
        return min(max(round(math.exp(low + fraction * (high - low))), self.low), self.high)

    @override
    def canonical(self, value: object) -> int:
        given = python_value(value)
        if not is_whole(given) or int(given) not in self.values:
            raise ConfigError(f"must be {self.allowed}, got {given!r}")
        return int(given)

    def _ends(self) -> tuple[float, float]:
        return math.log(self.low - 0.5), math.log(self.high + 0.5)
