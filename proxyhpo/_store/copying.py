"""Copies of a study, also while a process writes it, by SQLite's backup."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from typing import TYPE_CHECKING

from proxyhpo._store import journal, weights
from proxyhpo._store.files import beside, check_folder

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["copy", "rescue"]


def copy(path: Path, target: Path) -> None:
    """Copies a study and the weights that it keeps.

    Checkpoints of trainings that have not ended are left out: these begin again in the copy.

    Args:
        path: of the study, with its links resolved; another process may be writing it.
        target: path of the copy, with its links resolved; its folder must exist.

    Raises:
        OSError, sqlite3.Error, ValueError: if the study cannot be read or the copy be written.
    """
    with contextlib.closing(journal.connect_to_read(path)) as connection:
        _check_free(target)
        while True:
            names = weights.names(beside(path, "-weights"))
            _copy_weights(path, target, names)
            _backup(connection, beside(target, "-unfinished"))
            # What a record says is kept was saved before it, and is dropped after a better one.
            if weights.names(beside(path, "-weights")) == names:
                break
    beside(target, "-unfinished").replace(target)


def rescue(connection: sqlite3.Connection, path: Path) -> Path:
    """Writes a study whose file has been deleted or replaced to a file again.

    Args:
        connection: to the lost file, open since before.
        path: of the lost file.

    Returns:
        That path if nothing is there now, or else the nearest free one.
    """
    target, copies = path, 0
    while target.exists():
        copies += 1
        target = beside(path, f"-rescued-{copies}")
    target.parent.mkdir(parents=True, exist_ok=True)
    _backup(connection, beside(target, "-unfinished"))
    if target != path:
        _copy_weights(path, target, weights.names(beside(path, "-weights")))
    beside(target, "-unfinished").replace(target)
    return target


def _check_free(target: Path) -> None:
    for found in (target, beside(target, "-weights")):
        if os.path.lexists(found):
            raise FileExistsError(f"{str(found)!r} already exists")
    check_folder(target)


def _backup(connection: sqlite3.Connection, target: Path) -> None:
    target.unlink(missing_ok=True)
    with contextlib.closing(sqlite3.connect(target, isolation_level=None)) as copied:
        connection.backup(copied)
        copied.execute("PRAGMA journal_mode = DELETE")  # one plain file, as a closed study is


def _copy_weights(path: Path, target: Path, names: list[str]) -> None:
    """Makes the weights of the copy those of these names; others are removed."""
    source, copied = beside(path, "-weights"), beside(target, "-weights")
    for name in weights.names(copied):
        if name not in names:
            weights.remove(copied / f"{name}.pt")
    for name in names:
        file = source / f"{name}.pt"
        if file.is_file() and not file.is_symlink() and not (copied / file.name).exists():
            copied.mkdir(exist_ok=True)
            with contextlib.suppress(FileNotFoundError):  # dropped meanwhile
                shutil.copyfile(file, copied / file.name)
