"""Standard output and error of trainings, which no training fails for.

The terminal of a long search may be closed, the reader of a pipe may be gone, a disk full. Then
every training that prints would fail, and each for good.
"""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO, cast

__all__ = ["forgiving_streams"]

logger = logging.getLogger("proxyhpo")


@contextmanager
def forgiving_streams() -> Iterator[None]:
    """Within the block what cannot be printed is lost; the streams are put back when it ends.

    Streams that are no files, as in notebooks, are left as they are.
    """
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = map(_forgiving, before)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def _forgiving(stream: TextIO) -> TextIO:
    # Of this very class: what a library has put in its place may be known by its class.
    return cast("TextIO", _Forgiving(stream)) if type(stream) is io.TextIOWrapper else stream


class _Forgiving:
    """A stream whose writes do not fail; all else is that of the stream behind it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._is_dead = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Writes as far as that is possible."""
        try:
            return self._stream.write(text)
        except (OSError, ValueError) as error:  # ValueError: it is closed
            self._give_up(error)
            return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Writes each line."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Flushes as far as that is possible."""
        try:
            self._stream.flush()
        except (OSError, ValueError) as error:
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        if not self._is_dead:
            self._is_dead = True
            logger.warning("output cannot be printed and is lost: %s", error)
