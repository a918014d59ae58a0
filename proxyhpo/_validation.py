"""Checks of arguments, shared by the whole package. Each error names the argument.

A check returns the value as a plain Python ``int`` or ``float`` if NumPy's was given, so that
settings can be compared and stored as JSON.
"""

from __future__ import annotations

import math
import operator
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from inspect import signature
from numbers import Real
from typing import Any, ParamSpec, TypeVar

import numpy as np
import torch

from proxyhpo.errors import ArgumentError, unknown_name

__all__ = [
    "check_device",
    "check_fraction",
    "check_names",
    "check_number",
    "check_seconds",
    "check_whole",
    "is_real",
    "suggesting",
    "suggesting_arguments",
    "suggesting_or",
]

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

_LARGEST = int(sys.float_info.max)


def suggesting_or(hints: Mapping[str, str]) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A decorator of methods: an unknown keyword argument raises an error with the nearest name.

    Python's own error suggests one only from version 3.13 on. The signature stays the same.

    Args:
        hints: unknown argument → a sentence to give instead of the nearest name.
    """

    def decorate(method: Callable[P, R]) -> Callable[P, R]:
        _, *allowed = signature(method).parameters  # without self

        @wraps(method)
        def checked(*args: P.args, **named: P.kwargs) -> R:
            for name in named:
                if name not in allowed:
                    kind = type(args[0])
                    if kind.__init__ is checked:  # perhaps inherited, so it has the class's name
                        what = kind.__name__
                    else:
                        what = method.__qualname__.removesuffix(".__init__")
                    hint = hints.get(name, "")
                    raise unknown_name(f"argument of {what}:", name, allowed, hint=hint)
            return method(*args, **named)

        return checked

    return decorate


def suggesting(method: Callable[P, R]) -> Callable[P, R]:
    """:func:`suggesting_or` without hints."""
    return suggesting_or({})(method)


def suggesting_arguments(cls: type[T]) -> type[T]:
    """:func:`suggesting` for a class whose constructor is written by ``@dataclass``."""
    type.__setattr__(cls, "__init__", suggesting(cls.__init__))
    return cls


def is_real(value: object) -> bool:
    """Whether it is a finite number that a float can hold; booleans are not.

    >>> is_real(2), is_real(float("inf")), is_real(True), is_real("2")
    (True, False, False, False)
    """
    if isinstance(value, int):
        return abs(value) <= _LARGEST and not isinstance(value, bool)
    return isinstance(value, (float, Real)) and math.isfinite(value)


def check_whole(name: str, value: Any, least: int) -> int:
    """A whole number >= ``least`` as an int; NumPy integers are accepted, booleans are not.

    Raises:
        ArgumentError: naming the argument, for anything else.

    >>> check_whole("epochs", np.int64(3), 1)
    3
    """
    if not isinstance(value, (bool, np.bool_)):
        try:
            number = operator.index(value)
        except TypeError:  # such as 3.0, which is a float
            number = least - 1
        if number >= least:
            return number
    raise ArgumentError(f"{name} must be a whole number >= {least}, got {value!r}")


def check_number(
    name: str,
    value: Any,
    *,
    above: float | None = None,
    least: float | None = None,
    unit: str | None = None,
) -> float:
    """A finite number as a float; NumPy numbers are accepted, booleans and text are not.

    Args:
        name: of the argument.
        value: as given.
        above: the number must be greater than this.
        least: the number must be at least this.
        unit: what the number counts, such as seconds; for the message.

    Raises:
        ArgumentError: naming the argument, for anything else.

    >>> check_number("gamma", np.float32(0.5), above=0)
    0.5
    """
    if is_real(value) and (above is None or value > above) and (least is None or value >= least):
        return float(value)
    what = "a finite number" if unit is None else f"a finite number of {unit}"
    limit = "" if above is None else f" > {above:g}"
    limit += "" if least is None else f" >= {least:g}"
    raise ArgumentError(f"{name} must be {what}{limit}, got {value!r}")


def check_seconds(name: str, value: Any, *, zero: bool = False) -> float:
    """A finite number of seconds above 0, or at least 0 if ``zero``.

    Raises:
        ArgumentError: naming the argument, for anything else.
    """
    if zero:
        return check_number(name, value, least=0, unit="seconds")
    return check_number(name, value, above=0, unit="seconds")


def check_fraction(name: str, value: Any) -> float:
    """A number in (0, 1], such as a density, a budget or a cost.

    Raises:
        ArgumentError: naming the argument, for anything else.

    >>> check_fraction("density", 0.25)
    0.25
    """
    if is_real(value) and 0 < value <= 1:
        return float(value)
    raise ArgumentError(f"{name} must be in (0, 1], got {value!r}")


def check_names(name: str, value: Any) -> tuple[str, ...]:
    """A sequence of names as a tuple. A single string is rejected, as a sequence of characters.

    Raises:
        ArgumentError: naming the argument, for anything else.

    >>> check_names("ignore", ["head"])
    ('head',)
    """
    if (
        isinstance(value, Sequence)
        and not isinstance(value, str)
        and all(isinstance(each, str) for each in value)
    ):
        return tuple(value)
    raise ArgumentError(f"{name} must be a sequence of names, got {value!r}")


def check_device(name: str, given: Any) -> torch.device:
    """A device of this machine. CUDA devices are counted, but CUDA is not initialised.

    Raises:
        ArgumentError: naming the argument, for anything else.

    >>> check_device("device", "cpu")
    device(type='cpu')
    """
    try:
        device = torch.device(given)
    except (RuntimeError, TypeError) as error:
        raise ArgumentError(f"{name}: torch has no device named {given!r}") from error
    if (device.index or 0) >= _device_count(device.type):
        here = [
            "cpu",
            *(f"{kind}:{i}" for kind in ("cuda", "mps", "xpu") for i in range(_device_count(kind))),
        ]
        raise ArgumentError(
            f"{name}: {given!r} is not available; torch sees {', '.join(here)} on this machine"
        )
    return device


def _device_count(kind: str) -> int:
    """Number of devices of a kind that torch sees; 0 for kinds without values, such as ``meta``."""
    count = getattr(getattr(torch, kind, None), "device_count", None)
    return 0 if count is None else int(count())
