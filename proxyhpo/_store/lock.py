"""A lock on a file that one process holds until it releases it or ends."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import sys
import time
import weakref
from typing import IO, TYPE_CHECKING, final

from proxyhpo._store.files import open_regular
from proxyhpo.errors import StoreLockedError

if TYPE_CHECKING:
    from pathlib import Path

    from typing_extensions import Self

__all__ = ["FileLock", "holder"]

_MOMENT = 0.05
"""Seconds after which a lock is tried again, because :func:`holder` holds it for an instant."""


@final
class FileLock:
    """Locks a file, which is not deleted afterwards; a context manager.

    The operating system releases the lock when the process ends for any reason, so no lock becomes
    stale. Forked children (such as the workers of a DataLoader), which may outlive a killed parent,
    do not hold it.

    Args:
        path: the file; created if missing. Its content names the holder.

    Raises:
        StoreLockedError: if another process, or this one, already holds it.
        OSError: if the file cannot be created, is a link, or its file system has no locks.
    """

    def __init__(self, path: Path) -> None:
        with contextlib.ExitStack() as opened:
            # Opened for appending, since opening for writing would erase the name of the holder.
            descriptor = open_regular(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
            file = opened.enter_context(
                os.fdopen(descriptor, "a+", encoding="utf-8", errors="replace")
            )
            if not _locked(file):
                raise StoreLockedError(_held_by(file))
            file.truncate(0)
            file.write(f"{os.getpid()} on {socket.gethostname()}")
            file.flush()
            opened.pop_all()
        self._file = file
        _open_locks.add(self)

    def close(self) -> None:
        """Releases the lock. A second call does nothing."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def holder(path: Path) -> str:
    """Which process holds the lock on a file, as a sentence; empty if none does.

    Raises:
        OSError: if the file cannot be opened, is a link, or its file system has no locks.
    """
    try:
        descriptor = open_regular(path, os.O_RDONLY)
    except FileNotFoundError:
        return ""
    with os.fdopen(descriptor, encoding="utf-8", errors="replace") as file:
        return "" if _locked(file, shared=True) else _held_by(file)


def _locked(file: IO[str], *, shared: bool = False) -> bool:
    """Whether the file could be locked. A shared lock only excludes locks that are not shared."""
    for pause in (0.0, _MOMENT):
        time.sleep(pause)
        with contextlib.suppress(BlockingIOError, PermissionError):
            _lock(file.fileno(), shared=shared)
            return True
    return False


def _held_by(file: IO[str]) -> str:
    file.seek(0)
    # The file may contain anything, so only text of the expected form is repeated.
    match = re.fullmatch(r"(\d{1,10}) on ([\w.-]{1,255})", file.read(300))
    if match is None:
        return "another process is writing it"
    if (match[1], match[2]) == (str(os.getpid()), socket.gethostname()):
        return "this process already has it open"
    return f"process {match[1]} on {match[2]} is writing it"


_open_locks: weakref.WeakSet[FileLock] = weakref.WeakSet()


def _forget_open_locks() -> None:
    # A child inherits the open file and with it the lock, which lasts until both have closed it.
    for lock in _open_locks:
        lock.close()


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int, *, shared: bool) -> None:  # noqa: ARG001 - Windows cannot share
        # Windows also locks bytes against readers, so a byte far behind the text is locked.
        os.lseek(descriptor, 1 << 30, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    os.register_at_fork(after_in_child=_forget_open_locks)

    def _lock(descriptor: int, *, shared: bool) -> None:
        # Not lockf, whose lock is lost when this process closes any other file object of the same
        # file, for instance while copying the folder.
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
