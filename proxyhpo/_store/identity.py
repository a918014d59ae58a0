"""Checks that a file contains the requested study, and lists the differences if it does not."""

from __future__ import annotations

import json
import textwrap
from itertools import islice, zip_longest
from typing import TYPE_CHECKING, Any

from proxyhpo._store.strict_json import plain
from proxyhpo.errors import StudyMismatchError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["check_identity"]

_SHOWN = 20
_ABSENT = object()


def check_identity(path: str, stored: Any, given: Any) -> None:
    """Compares two identities, both nested JSON data. NaN equals NaN.

    Raises:
        StudyMismatchError: lists each difference, as ``space.lr.high: stored 1.0, given 0.1``.
    """
    found = list(islice(_differences(plain(stored), plain(given), ""), _SHOWN + 1))
    if not found:
        return
    lines = [
        f"  {where}: stored {_shown(old)}, given {_shown(new)}"
        for where, old, new in found[:_SHOWN]
    ]
    more = ["  ... and more"] if len(found) > _SHOWN else []
    head = f"{path!r} contains a study with other settings:"
    advice = "Use the stored settings to resume it, or another file for a new study."
    raise StudyMismatchError("\n".join([head, *lines, *more, advice]))


def _differences(stored: Any, given: Any, where: str) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(stored, dict) and isinstance(given, dict):
        for key in dict.fromkeys([*stored, *given]):
            place = f"{where}.{key}" if where else key
            yield from _differences(stored.get(key, _ABSENT), given.get(key, _ABSENT), place)
    elif isinstance(stored, list) and isinstance(given, list):
        pairs = zip_longest(stored, given, fillvalue=_ABSENT)
        for index, (old, new) in enumerate(pairs):
            yield from _differences(old, new, f"{where}[{index}]")
    elif stored != given or isinstance(stored, bool) != isinstance(given, bool):
        yield where or "identity", stored, given


def _shown(value: Any) -> str:
    if value is _ABSENT:
        return "nothing"
    return textwrap.shorten(json.dumps(value, ensure_ascii=False), 100, placeholder=" ...")
