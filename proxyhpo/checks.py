"""Checks that arguments of many classes share."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from proxyhpo.errors import ArgumentError

__all__ = ["check_whole"]


def check_whole(name: str, value: Any, least: int) -> int:
    """A whole number from ``least`` on as an int; NumPy's are taken, booleans are not.

    Raises:
        ArgumentError: naming the argument, for anything else.

    >>> check_whole("epochs", np.int64(3), 1)
    3
    """
    if not isinstance(value, (bool, np.bool_)):
        try:
            number = operator.index(value)
        except TypeError:  # such as 3.0: no whole number by its type
            number = least - 1
        if number >= least:
            return number
    raise ArgumentError(f"{name} must be a whole number >= {least}, got {value!r}")
