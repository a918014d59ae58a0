"""The reports of a training, and what counts as a number in them."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

import numpy as np
from torch import Tensor

__all__ = ["ALLOWED", "Report", "checked_report", "report_of"]

ALLOWED = "a number, or a mapping of names to numbers with a 'value'"
"""What ``train`` may yield or return."""

LONGEST = 1e12
"""Maximum seconds that a training may report; leaves room for the overhead in a record."""


@dataclass(frozen=True)
class Report:
    """A report of a training after a step, such as an epoch.

    Args:
        value: what the user optimises, in the user's direction.
        metrics: further numbers. ``seconds``, if given, is the training time so far and overrides
            the measured time.
    """

    value: float
    metrics: Mapping[str, float] = field(default_factory=dict)


def report_of(given: object, where: str) -> Report:
    """A report from a number, or from a mapping with a ``"value"``.

    Args:
        given: what the user's code returned, yielded or told.
        where: describes the source in messages, such as ``"train yielded"``.

    Raises:
        TypeError: for anything else.
        ValueError: if a mapping has no ``"value"``, or the ``"seconds"`` are out of range.
    """
    if not isinstance(given, Mapping):
        return checked_report(given, {}, where, allowed=ALLOWED)
    if odd := [key for key in given if not isinstance(key, str)]:
        raise TypeError(f"{where} a mapping with the keys {odd}: they must be strings")
    if "value" not in given:
        close = difflib.get_close_matches("value", given, n=1)
        hint = f"rename {close[0]!r}?" if close else f"there are {list(given)}"
        raise ValueError(f"{where} a mapping without 'value': {hint}")
    metrics = {key: item for key, item in given.items() if key != "value"}
    return checked_report(given["value"], metrics, where, allowed=ALLOWED, name=" 'value':")


def checked_report(
    value: object,
    metrics: Mapping[str, Any],
    where: str,
    *,
    allowed: str = "a number",
    name: str = "",
) -> Report:
    """A report of plain floats; tensors and arrays without dimensions count as numbers.

    Raises:
        TypeError: for what is not a number.
        ValueError: if the ``"seconds"`` are negative, not finite, or more than a training can take.
    """
    number = _number(value, f"{where}{name}", allowed)
    numbers = {key: _number(item, f"{where} {key!r}:", allowed) for key, item in metrics.items()}
    if not 0 <= (seconds := numbers.get("seconds", 0.0)) <= LONGEST:
        raise ValueError(f"{where} {seconds} as 'seconds'; allowed is 0 to {LONGEST:g}")
    return Report(number, numbers)


def _number(given: object, where: str, allowed: str) -> float:
    if isinstance(given, (Tensor, np.ndarray)) and given.ndim == 0:
        given = given.item()
    # A bool is an int, but "it improved" is not a value.
    if isinstance(given, Real) and not isinstance(given, bool):
        return float(given)
    shape = f" of shape {tuple(given.shape)}" if isinstance(given, (Tensor, np.ndarray)) else ""
    text = "" if shape else f" {given!r:.200}"
    raise TypeError(f"{where} a {type(given).__name__}{shape}{text}; allowed is {allowed}")
