"""JSON according to RFC 8259, which any program can read and which reads back equal.

Python's ``json`` writes ``NaN`` and ``Infinity``, which are not JSON, and silently converts other
keys to text. Here the numbers that JSON lacks are written as ``{"$float": "NaN"}``, since trainings
that diverged must be kept, and everything else that JSON lacks is rejected.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any, NoReturn, TypeGuard

from proxyhpo.errors import ArgumentError

__all__ = ["decode", "encode", "plain"]

_MARK = "$float"
_NON_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def encode(value: Any) -> str:
    """Encodes a value as JSON text in ASCII; tuples become arrays, numpy numbers become numbers.

    >>> encode({"loss": float("nan"), "units": (32, 64)})
    '{"loss":{"$float":"NaN"},"units":[32,64]}'

    Raises:
        ArgumentError: names the place of a value that JSON cannot store.
    """
    try:
        return json.dumps(plain(value), allow_nan=False, separators=(",", ":"))
    except RecursionError:
        raise ArgumentError("nested too deeply (or recursively) to be stored") from None
    except ArgumentError:
        raise
    except ValueError as error:  # an integer with more digits than Python converts to text
        raise ArgumentError(f"cannot be stored: {error}") from error


def decode(text: str) -> Any:
    """Decodes the text written by :func:`encode`.

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
    """The same data in JSON's types.

    Args:
        value: mappings with text keys, lists, tuples, strings, numbers, booleans, None.
        path: the place of the value, for error messages.

    Raises:
        ArgumentError: names the place of a value that JSON cannot store.
    """
    if value is None or isinstance(value, (bool, str)):
        return value
    # Concrete types come first, since checks against abstract types are much slower.
    if isinstance(value, (int, Integral)):
        return int(value)
    if isinstance(value, (float, Real)):
        return _plain_float(float(value))
    if isinstance(value, (dict, Mapping)):
        return _plain_mapping(value, path)
    if isinstance(value, (list, tuple)):
        return [plain(item, f"{path}[{index}]") for index, item in enumerate(value)]
    raise ArgumentError(f"{path or 'the value'} is a {type(value).__name__}, not JSON data")


def _plain_mapping(mapping: Mapping[Any, Any], path: str) -> dict[str, Any]:
    for key in mapping:
        if not isinstance(key, str):
            raise ArgumentError(f"{path or 'the value'} has the key {key!r}, which is not text")
    if len(mapping) == 1 and _is_non_finite(mapping.get(_MARK)):
        raise ArgumentError(f"{path or 'the value'} has only the key {_MARK!r}, which is reserved")
    return {key: plain(item, f"{path}.{key}" if path else key) for key, item in mapping.items()}


def _plain_float(number: float) -> float | dict[str, str]:
    if math.isfinite(number):
        return number
    return {_MARK: "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"}


def _revive(mapping: dict[str, Any]) -> Any:
    mark = mapping.get(_MARK)
    return _NON_FINITE[mark] if len(mapping) == 1 and _is_non_finite(mark) else mapping


def _is_non_finite(mark: Any) -> TypeGuard[str]:
    return isinstance(mark, str) and mark in _NON_FINITE


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


_DECODER = json.JSONDecoder(object_hook=_revive, parse_constant=_refuse)
