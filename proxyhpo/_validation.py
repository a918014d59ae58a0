"""Checks that arguments of many classes share."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import torch

from proxyhpo.errors import ArgumentError

__all__ = ["check_device", "check_whole"]


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


def check_device(name: str, given: Any) -> torch.device:
    """A device that this machine has; CUDA is asked how many there are, but not initialised.

    Raises:
        ArgumentError: naming the argument, for anything else.

    >>> check_device("device", "cpu")
    device(type='cpu')
    """
    try:
        device = torch.device(given)
    except (RuntimeError, TypeError) as error:
        raise ArgumentError(f"{name}: torch knows none called {given!r}") from error
    if (device.index or 0) >= _device_count(device.type):
        here = [
            "cpu",
            *(f"{kind}:{i}" for kind in ("cuda", "mps", "xpu") for i in range(_device_count(kind))),
        ]
        raise ArgumentError(
            f"{name}: {given!r} is not there, torch sees {', '.join(here)} on this machine"
        )
    return device


def _device_count(kind: str) -> int:
    """How many of a kind torch sees; kinds that hold no values, such as ``meta``, have none."""
    count = getattr(getattr(torch, kind, None), "device_count", None)
    return 0 if count is None else int(count())
