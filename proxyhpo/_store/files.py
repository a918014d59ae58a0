"""Files of a store that may come from anybody: used only if they are what they seem.

What is written to a symbolic link is written somewhere else, reading a pipe may never end, and
SQLite takes what it finds beside its file for the rest of an interrupted transaction.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["beside", "check_beside", "open_regular"]

_FILES = ("-lock", "-wal", "-shm", "-journal")
_FOLDERS = ("-weights", "-checkpoints")
_JOURNAL_MAGIC = bytes.fromhex("d9d505f920a163d7")


def beside(path: Path, suffix: str) -> Path:
    """What belongs to a store: called by its name with a suffix."""
    return path.with_name(path.name + suffix)


def open_regular(path: Path, flags: int) -> int:
    """A descriptor of a regular file, which the caller closes.

    Args:
        path: of the file.
        flags: as of :func:`os.open`; with ``os.O_CREAT`` it is made where it is missing.

    Raises:
        OSError: if it is a symbolic link, or no file, or cannot be opened.
    """
    if path.is_symlink():
        raise _refused(path)
    # Windows has the last of these alone, the others have the first two. Without waiting, a pipe
    # opens, and is then seen to be one.
    for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"):
        flags |= getattr(os, name, 0)
    descriptor = os.open(path, flags, 0o666)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _refused(path)
    return descriptor


def check_beside(path: Path) -> None:
    """Sees that what lies beside a store is what a store would have left there.

    Args:
        path: of the store's file, with its links resolved.

    Raises:
        OSError: naming what is a symbolic link, or not the file or folder that it should be.
        ValueError: if a journal is not that of a store.
    """
    for suffixes, is_right in ((_FILES, stat.S_ISREG), (_FOLDERS, stat.S_ISDIR)):
        for suffix in suffixes:
            found = beside(path, suffix)
            with contextlib.suppress(FileNotFoundError):  # they come and go while one writes
                if not is_right(found.lstat().st_mode):
                    raise _refused(found)
    with contextlib.suppress(FileNotFoundError):
        _check_journal(beside(path, "-journal"))


def _check_journal(path: Path) -> None:
    """Refuses a journal that ends on the name of a file, which SQLite would delete.

    So ends that of a transaction over several databases (the "super-journal" in
    https://www.sqlite.org/atomiccommit.html); a store is a database of its own.
    """
    with os.fdopen(open_regular(path, os.O_RDONLY), "rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - len(_JOURNAL_MAGIC)))
        if file.read() == _JOURNAL_MAGIC:
            raise ValueError(f"{path.name!r} is the journal of more than one database")


def _refused(path: Path) -> OSError:
    if path.is_symlink():
        return OSError(f"{path.name!r} is a symbolic link, which a store never makes or follows")
    if path.is_dir():
        return IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path.name)
    return OSError(f"{path.name!r} is not the kind of file that a store has by this name")
