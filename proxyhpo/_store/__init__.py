"""A study is an append-only journal of events; its state is a fold over them.

So resuming is replaying: nothing has to be saved at the right moment, and a study killed at any
moment resumes from the last event that was appended. The journal is JSON in one SQLite file (or
in memory), the networks' weights are tensors in a folder beside it. Nothing is ever unpickled.

One process writes, guarded by a lock for as long as it has the store open; any number may read.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proxyhpo._store.interface import Store
from proxyhpo._store.memory import MemoryStore
from proxyhpo._store.sqlite import SQLiteStore, copy_study, read_study, read_weights
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
]


def open_store(path: str | Path | None, identity: Mapping[str, Any]) -> Store:
    """The store of a study, for writing.

    Args:
        path: of the file, ``~`` for the home folder; made where it is missing, with its folder.
            None keeps the study in memory.
        identity: what makes it this study (space, ladder, seed ...), as nested JSON data.

    Raises:
        ArgumentError: if the path is not the path of a file.
        StoreLockedError: if a process has this store open already.
        StudyMismatchError: if the file holds a study with another identity.
        StoreError: if the file cannot be read or written, is damaged, or is not a study.
    """
    file = check_path(path)
    return MemoryStore() if file is None else SQLiteStore(file, identity)


def check_path(path: object) -> Path | None:
    """The absolute path of a file, so that a later ``chdir`` does not lead to another one.

    Raises:
        ArgumentError: naming ``store``, for anything else, and for URIs of SQLite's own.
    """
    if path is None:
        return None
    if not isinstance(path, (str, os.PathLike)) or not os.fspath(path):
        raise ArgumentError(f"store must be the path of a file or None, got {path!r}")
    name = str(path)
    if ":memory:" in name:
        raise ArgumentError(
            f"store must be the path of a file, got {path!r}: leave store out, and the study is "
            "kept in memory"
        )
    if "://" in name or name.startswith("file:"):
        raise ArgumentError(f"store must be the path of a file, such as 'study.db', got {path!r}")
    return Path(path).expanduser().absolute()
