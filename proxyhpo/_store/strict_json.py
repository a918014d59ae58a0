"""JSON as RFC 8259 has it: what is written can be read by any program, and reads back equal.

Python's own ``json`` writes ``NaN`` and ``Infinity``, which are not JSON, and turns keys that are
no text into text without a word. Here the numbers that JSON lacks are written as
``{"$float": "NaN"}``, since a training that diverged is worth keeping, and the rest is refused.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any, NoReturn

from proxyhpo.errors import ArgumentError

__all__ = ["decode", "encode", "plain"]

_MARK = "$float"
_NON_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def encode(value: Any) -> str:
    """The value as JSON text in ASCII; tuples become arrays, numpy numbers become numbers.

    >>> encode({"loss": float("nan"), "units": (32, 64)})
    '{"loss":{"$float":"NaN"},"units":[32,64]}'

    Raises:
        ArgumentError: naming the place of what JSON cannot hold.
    """
    try:
        return json.dumps(plain(value), allow_nan=False, separators=(",", ":"))
    except RecursionError:
        raise ArgumentError("nested too deeply (or within itself) to be stored") from None
    except ArgumentError:
        raise
    except ValueError as error:  # an integer of more digits than Python turns into text
        raise ArgumentError(f"cannot be stored: {error}") from error


def decode(text: str) -> Any:
    """Back from :func:`encode`.

    >>> decode('{"loss":{"$float":"NaN"},"units":[32,64]}')
    {'loss': nan, 'units': [32, 64]}

    Raises:
        ValueError: if the text is not JSON, or nested too deeply.
    """
    try:
        return _DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON: {error}") from error


def plain(value: Any, path: str = "") -> Any:
    """The same data in the types that JSON has.

    Args:
        value: mappings with text keys, lists, tuples, texts, numbers, booleans, None.
        path: where the value stands, for error messages.

    Raises:
        ArgumentError: naming the place of what JSON cannot hold.
    """
    if value is None or isinstance(value, (bool, str)):
        return value
    # The abstract types alone would do; the plain ones before them are found much faster.
    if isinstance(value, (int, Integral)):
        return int(value)
    if isinstance(value, (float, Real)):
        return _plain_float(float(value))
    if isinstance(value, (dict, Mapping)):
        return _plain_mapping(value, path)
    if isinstance(value, (list, tuple)):
        return [plain(item, f"{path}[{index}]") for index, item in enumerate(value)]
    raise ArgumentError(f"{path or 'the value'} is a {type(value).__name__}, which JSON lacks")


def _plain_mapping(mapping: Mapping[Any, Any], path: str) -> dict[str, Any]:
    for key in mapping:
        if not isinstance(key, str):
            raise ArgumentError(f"{path or 'the value'} has the key {key!r}, which is not text")
    if len(mapping) == 1 and _MARK in mapping:
        raise ArgumentError(f"{path or 'the value'} has the one key {_MARK!r}, which is reserved")
    return {key: plain(item, f"{path}.{key}" if path else key) for key, item in mapping.items()}


def _plain_float(number: float) -> float | dict[str, str]:
    if math.isfinite(number):
        return number
    return {_MARK: "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"}


def _revive(mapping: dict[str, Any]) -> Any:
    mark = mapping.get(_MARK)
    if len(mapping) == 1 and isinstance(mark, str) and mark in _NON_FINITE:
        return _NON_FINITE[mark]
    return mapping


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


_DECODER = json.JSONDecoder(object_hook=_revive, parse_constant=_refuse)
