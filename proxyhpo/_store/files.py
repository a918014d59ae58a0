"""Opens the files of a store safely, even if they come from an untrusted source.

A symbolic link could redirect writes, reading a pipe may never end, and SQLite would treat a file
beside its own as the journal of an interrupted transaction.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["beside", "check_beside", "check_folder", "check_no_remains", "open_regular"]

_FILES = ("-lock", "-wal", "-shm", "-journal")
_FOLDERS = ("-weights", "-checkpoints")
_JOURNAL_MAGIC = bytes.fromhex("d9d505f920a163d7")


def beside(path: Path, suffix: str) -> Path:
    """The path of a file that belongs to a store: the store's path with a suffix."""
    return path.with_name(path.name + suffix)


def open_regular(path: Path, flags: int) -> int:
    """Opens a regular file and returns its descriptor, which the caller closes.

    Args:
        path: of the file.
        flags: as of :func:`os.open`; with ``os.O_CREAT`` the file is created if missing.

    Raises:
        OSError: if it is a symbolic link, is not a regular file, or cannot be opened.
    """
    if path.is_symlink():
        raise _refused(path)
    # Windows only has the last of these flags, other systems the first two. With O_NONBLOCK,
    # opening a pipe returns at once, and the check below rejects it.
    for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"):
        flags |= getattr(os, name, 0)
    descriptor = os.open(path, flags, 0o666)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _refused(path)
    return descriptor


def check_beside(path: Path) -> None:
    """Checks the files beside a store: they must be of the kind that a store creates.

    Args:
        path: of the store's file, with links resolved.

    Raises:
        OSError: names the file that is a symbolic link or of another kind.
        ValueError: if a journal does not belong to a single database.
    """
    for suffixes, is_right in ((_FILES, stat.S_ISREG), (_FOLDERS, stat.S_ISDIR)):
        for suffix in suffixes:
            found = beside(path, suffix)
            with contextlib.suppress(FileNotFoundError):  # a writer may remove them at any time
                if not is_right(found.lstat().st_mode):
                    raise _refused(found)
    with contextlib.suppress(FileNotFoundError):
        _check_journal(beside(path, "-journal"))


def check_folder(path: Path) -> None:
    """Checks that the folder of a store exists; it is not created, since its name may be mistyped.

    Raises:
        FileNotFoundError: names the folder, and the nearest one that exists.
    """
    if not path.parent.exists():
        nearest = next(folder for folder in path.parents if folder.exists())
        raise FileNotFoundError(
            f"there is no folder {str(path.parent)!r} (the nearest that exists is "
            f"{str(nearest)!r}); create it first"
        )


def check_no_remains(path: Path) -> None:
    """Checks that a new study would not destroy what remains of another one.

    SQLite deletes the log of a missing database when it creates that database, and a new study
    deletes weights that its own trainings did not leave.

    Args:
        path: of the store's file, locked.

    Raises:
        FileNotFoundError: if the file is missing or empty, and its log or its weights are not.
    """
    if path.exists() and path.stat().st_size:
        return
    log, weights = beside(path, "-wal"), beside(path, "-weights")
    remains = [f"the file {log.name!r}"] if log.exists() and log.stat().st_size else []
    if weights.is_dir() and any(weights.iterdir()):
        remains.append(f"the folder {weights.name!r}")
    if remains:
        names, is_left = " and ".join(remains), "is" if len(remains) == 1 else "are"
        raise FileNotFoundError(
            f"it is missing or empty, but {names} of an earlier study {is_left} still there. To "
            f"resume that study, restore its file. To start a new one, delete {names} in "
            f"{str(path.parent)!r}, or use another path"
        )


def _check_journal(path: Path) -> None:
    """Rejects a journal that ends with the name of another file, which SQLite would delete.

    The journal of a transaction over several databases has such an ending (the "super-journal" in
    https://www.sqlite.org/atomiccommit.html). A store is always a single database.
    """
    with os.fdopen(open_regular(path, os.O_RDONLY), "rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - len(_JOURNAL_MAGIC)))
        if file.read() == _JOURNAL_MAGIC:
            raise ValueError(f"{path.name!r} is the journal of several databases, not of a store")


def _refused(path: Path) -> OSError:
    if path.is_symlink():
        return OSError(f"{path.name!r} is a symbolic link, which a store does not follow")
    if path.is_dir():
        return IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path.name)
    return OSError(f"{path.name!r} is not the kind of file that a store creates under this name")
