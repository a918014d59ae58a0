"""Measurements kept in a file, so that a benchmark can be resumed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["Row", "Rows"]

Row = dict[str, Any]


class Rows:
    """Measurements in a file of JSON lines. Each has a description of what was measured.

    Args:
        path: of the file; its folder is created.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._rows: dict[str, Row] = {}
        for line in path.read_text().splitlines() if path.exists() else ():
            try:
                row = json.loads(line)
            except json.JSONDecodeError:  # empty, or cut when the command was killed
                continue
            self._rows[key_of(row["of"])] = row["found"]

    def get(self, of: Row) -> Row | None:
        """The result, or None if it has not been measured."""
        return self._rows.get(key_of(of))

    def items(self) -> Iterator[tuple[Row, Row]]:
        """Every description, with its result."""
        return ((json.loads(key), found) for key, found in self._rows.items())

    def add(self, of: Row, found: Row) -> Row:
        """Writes a result on a new line, even if the last line was cut off."""
        self._rows[key_of(of)] = found
        with self.path.open("a") as file:
            file.write("\n" + json.dumps({"of": of, "found": found}) + "\n")
        return found


def key_of(of: Row) -> str:
    """A text that is the same for equal descriptions, independent of the order of their names."""
    return json.dumps(of, sort_keys=True)
