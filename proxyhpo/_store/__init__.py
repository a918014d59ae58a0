"""A study is stored as an append-only journal of events, from which its state is rebuilt.

A study is therefore resumed by replaying its events, and one that is killed at any time resumes
after the last appended event. The journal is JSON in one SQLite file (or in memory). The networks'
weights are tensors in a folder beside it. Nothing is ever unpickled.

One process writes, and holds a lock as long as the store is open. Any number of processes may read.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proxyhpo._store.files import check_folder
from proxyhpo._store.interface import Store
from proxyhpo._store.memory import MemoryStore
from proxyhpo._store.sqlite import (
    SQLiteStore,
    copy_study,
    read_study,
    read_weights,
    writer_of,
)
from proxyhpo.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "MemoryStore",
    "SQLiteStore",
    "Store",
    "check_path",
    "copy_study",
    "open_store",
    "read_study",
    "read_weights",
    "writer_of",
]


def open_store(path: str | Path | None, identity: Mapping[str, Any]) -> Store:
    """Opens the store of a study for writing.

    Args:
        path: of the file, which is created if missing; its folder must exist. ``~`` is the home
            folder. None keeps the study in memory.
        identity: what identifies the study (space, ladder, seed ...), as nested JSON data.

    Raises:
        ArgumentError: if the path is not a valid path of a file.
        StoreLockedError: if a process already has this store open.
        StudyMismatchError: if the file contains a study with another identity.
        StoreError: if the file cannot be read or written, is damaged, or is not a study.
    """
    file = check_path(path)
    return MemoryStore() if file is None else SQLiteStore(file, identity)


def check_path(path: object) -> Path | None:
    """The absolute path of a store, so that a later ``chdir`` has no effect on it.

    Raises:
        ArgumentError: if it is not a path, or is a SQLite URI, or its folder does not exist.
    """
    if path is None:
        return None
    if not isinstance(path, (str, os.PathLike)) or not os.fspath(path):
        raise ArgumentError(f"store must be the path of a file or None, got {path!r}")
    name = str(path)
    if ":memory:" in name:
        raise ArgumentError(
            f"store must be the path of a file, got {path!r}; omit store to keep the study in "
            "memory"
        )
    if "://" in name or name.startswith("file:"):
        raise ArgumentError(f"store must be the path of a file, such as 'study.db', got {path!r}")
    file = Path(path).expanduser().absolute()
    try:
        check_folder(file)
    except FileNotFoundError as error:
        raise ArgumentError(f"store: {error}") from None
    if file.is_dir():
        raise ArgumentError(f"store must be the path of a file, got the folder {str(file)!r}")
    return file
