"""Checks that the definitions of hyperparameters share."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import wraps
from inspect import signature
from typing import Any, TypeVar

from proxyhpo.errors import SpaceError
from proxyhpo.space._values import is_number, python_value

__all__ = ["checked_condition", "checked_range", "explained", "in_steps", "not_dividing"]

T = TypeVar("T")


def explained(example: str) -> Callable[[type[T]], type[T]]:
    """Decorates a class so that bad arguments raise a SpaceError that names the class.

    Args:
        example: a valid call, for the message about arguments that the class does not have.
    """

    def decorate(cls: type[T]) -> type[T]:
        create, expected = cls.__init__, signature(cls)

        @wraps(create)
        def checked(self: T, *args: object, **named: object) -> None:
            try:
                expected.bind(*args, **named)
            except TypeError as error:
                given = [*map(repr, args), *(f"{name}={value!r}" for name, value in named.items())]
                raise SpaceError(
                    f"{cls.__name__}({', '.join(given)}): {error}; the arguments are "
                    f"{', '.join(expected.parameters)}, for example {example}"
                ) from None
            try:
                create(self, *args, **named)
            except SpaceError as error:
                raise SpaceError(f"{cls.__name__}: {error}") from None

        type.__setattr__(cls, "__init__", checked)
        return cls

    return decorate


def checked_range(low: Any, high: Any, step: Any, *, log: Any) -> tuple[Any, Any, Any]:
    """Low, high and step of a range, as Python numbers.

    Raises:
        SpaceError: if they do not define a range.
    """
    low, high, step = map(python_value, (low, high, step))
    for name, number in {"low": low, "high": high, "step": 1 if step is None else step}.items():
        if not is_number(number) or not -math.inf < number < math.inf:
            raise SpaceError(f"{name} must be a finite number, got {number!r}")
    if low > high:
        raise SpaceError(f"low must not be above high, got low={low!r}, high={high!r}")
    if not isinstance(log, bool):
        raise SpaceError(f"log must be True or False, got {log!r}")
    if log and low <= 0:
        raise SpaceError(f"log=True needs low > 0, got low={low!r}")
    if log and step is not None:
        raise SpaceError(
            "step and log cannot be combined, since equal steps are not equal ratios; list the "
            "values in a Choice instead"
        )
    if step is not None and step <= 0:
        raise SpaceError(f"step must be above 0, got {step!r}")
    return low, high, step


def in_steps(step: float | None) -> str:
    """The step in words, to be appended to the range."""
    return "" if step is None else f" in steps of {step}"


def not_dividing(low: float, high: float, step: float) -> SpaceError:
    """The error for a step that does not lead from low to high."""
    return SpaceError(f"step must divide the range from {low!r} to {high!r}, got step={step!r}")


def checked_condition(when: Any) -> tuple[str, Any] | None:
    """The condition as (name, (value, ...)).

    Raises:
        SpaceError: if it is not None, (name, value) or (name, [values]).
    """
    if when is None:
        return None
    if isinstance(when, tuple) and len(when) == 2 and isinstance(when[0], str):
        name, values = when
        values = tuple(values) if isinstance(values, (list, tuple)) else (values,)
        if values:
            return name, values
    raise SpaceError(f"when must be (name, value) or (name, [values]), got {when!r}")
