"""A store in one SQLite file, with a folder of weights and a lock file beside it."""

from __future__ import annotations

import contextlib
import os
import time
import warnings
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from typing_extensions import override

from proxyhpo._store import copying, journal, weights
from proxyhpo._store.files import beside, check_beside, check_folder, check_no_remains
from proxyhpo._store.identity import check_identity
from proxyhpo._store.interface import Store
from proxyhpo._store.lock import FileLock, holder
from proxyhpo._store.place import Place, check_single_name
from proxyhpo._store.strict_json import encode
from proxyhpo.errors import StoreError, StoreLockedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from torch import Tensor

__all__ = ["SQLiteStore", "copy_study", "read_study", "read_weights", "writer_of"]

_CHECKPOINT_SECONDS = 1.0
"""How long an event may wait for the next one in the log, before it is moved to the file."""


@final
class SQLiteStore(Store):
    """``study.db``, with ``study.db-weights/`` and ``study.db-lock`` beside it.

    While trainings keep checkpoints, there is also ``study.db-checkpoints/``.

    An appended event survives a crash of the process. A power failure may lose the last events, but
    no earlier ones. A closed study is one plain file. While a process writes, and after it was
    killed, ``study.db-wal`` is part of the study and contains the last events.

    Args:
        path: of the file, which is created if missing; its folder must exist.
        identity: what identifies the study, as nested JSON data. It is compared with that of the
            file.

    Raises:
        StoreLockedError, StudyMismatchError, StoreError: as :func:`proxyhpo._store.open_store`.
    """

    def __init__(self, path: Path, identity: Mapping[str, Any]) -> None:
        self._path = path.resolve()  # so that every path to the file has the same lock
        self._pid = os.getpid()
        self._place, self._log, self._lost = Place(self._path), Place(self._path), ""
        own = encode(identity)
        with contextlib.ExitStack() as opened:
            opened.enter_context(_lock(self._path))
            with self._explained("open"):
                check_no_remains(self._path)
                is_partial = journal.lacks_log(self._path)
                self._connection = journal.connect_to_write(self._path, own)
                opened.callback(self._close_connection)
                self._place = Place.of(self._path)
                journal.touch(self._connection)
                with contextlib.suppress(FileNotFoundError):  # without a log
                    self._log = Place.of(beside(self._path, "-wal"))
                stored = journal.identity(self._connection)
                self._number = journal.last_number(self._connection)
            check_identity(str(self._path), stored, identity)
            self._opened = opened.pop_all()
        self._checkpointed = time.monotonic()
        if is_partial:
            warnings.warn(
                f"the last events of {str(self._path)!r} may be missing: it was copied while it "
                "was written, or its -wal file was removed. The trainings that are missing run "
                "again. Copy studies with 'python -m proxyhpo copy'",
                stacklevel=2,
            )

    @override
    def append(self, kind: str, body: Mapping[str, Any]) -> None:
        text = encode(body)
        with self._explained("write to"):
            try:
                if not self._lost:
                    journal.append(self._connection, self._number + 1, kind, text)
            finally:
                self._check_place()
            self._number += 1
            if time.monotonic() >= self._checkpointed + _CHECKPOINT_SECONDS:
                journal.checkpoint(self._connection)
                self._checkpointed = time.monotonic()

    @override
    def events(self) -> Iterator[tuple[str, dict[str, Any]]]:
        with self._explained("read"):
            # What is read now is what this writer knows. The next event follows it.
            self._number = journal.last_number(self._connection)
            yield from journal.events(self._connection)

    @override
    def save_weights(self, name: str, state: Mapping[str, Tensor]) -> None:
        file, own = self._weights(name), weights.copied(state)
        with self._explained(f"save the weights {name!r} of"):
            weights.write(file, own)

    @override
    def weights_reader(self) -> Callable[[str], dict[str, Tensor]]:
        return partial(read_weights, self._path)

    @override
    def drop_weights(self, name: str) -> None:
        file = self._weights(name)
        with self._explained(f"drop the weights {name!r} of"):
            weights.remove(file)

    @override
    def weights(self) -> list[str]:
        with self._explained("list the weights of"):
            return weights.names(beside(self._path, "-weights"))

    @property
    @override
    def checkpoints(self) -> Path:
        return beside(self._path, "-checkpoints")

    @override
    def check(self) -> None:
        with self._explained("find"):
            self._check_place()

    @override
    def close(self) -> None:
        if os.getpid() == self._pid:  # a forked child must not close its parent's connection
            self._opened.close()

    def _close_connection(self) -> None:
        # Otherwise the log of another file with this name would be removed.
        journal.close(self._connection, keep_log=not self._place.is_kept)

    def _check_place(self) -> None:
        """Checks that the path still leads to the open file.

        Raises:
            FileNotFoundError: if it does not, after the study was written to a file again.
        """
        if self._place.is_kept and not self._lost:
            return
        if not self._lost:
            self._lost = "the file was deleted or replaced while the study was running"
            try:
                target = copying.rescue(self._connection, self._path)
            except journal.ERRORS as error:
                self._lost += f", and the study could not be saved: {error}"
            else:
                self._remove_log()
                self._lost += (
                    f". The whole study was saved to {str(target)!r}: resume it from there"
                )
        raise FileNotFoundError(self._lost)

    def _remove_log(self) -> None:
        """Removes the log of the lost file, which SQLite would apply to a new file of its name."""
        if self._log.inode is not None and self._log.is_kept:
            for suffix in ("-wal", "-shm"):
                beside(self._path, suffix).unlink(missing_ok=True)

    def _weights(self, name: str) -> Path:
        return beside(self._path, "-weights") / f"{weights.check_name(name)}.pt"

    @contextlib.contextmanager
    def _explained(self, doing: str) -> Iterator[None]:
        if os.getpid() != self._pid:
            raise StoreError(
                f"cannot {doing} {str(self._path)!r} in process {os.getpid()}: it was opened by "
                f"process {self._pid}, the parent of this fork, and only the parent may use it"
            )
        with _explained(doing, self._path):
            yield


def read_study(path: str | Path) -> tuple[dict[str, Any], list[tuple[str, dict[str, Any]]]]:
    """The identity and the events of a study, which another process may be writing.

    Raises:
        StoreError: if there is no such file, or it is damaged, or is not a study.
    """
    file = Path(path).expanduser().resolve()
    with _explained("read", file), contextlib.closing(journal.connect_to_read(file)) as connection:
        return journal.identity(connection), list(journal.events(connection))


def writer_of(path: str | Path) -> str:
    """Which process has a study open for writing, as a sentence; empty if none has.

    The operating system releases the lock of a process that has ended for any reason.

    Raises:
        StoreError: if this cannot be told, for example on a file system without locks.
    """
    file = Path(path).expanduser().resolve()
    with _explained("tell whether a process writes", file):
        return holder(beside(file, "-lock"))


def copy_study(path: str | Path, target: str | Path) -> None:
    """Copies a study with its weights; another process may be writing it.

    Raises:
        StoreError: if there is no such file, or it is damaged or not a study; or if the file of
            the copy already exists or cannot be written.
    """
    file, copied = (Path(each).expanduser().resolve() for each in (path, target))
    with _explained("copy", file):
        copying.copy(file, copied)


def read_weights(path: str | Path, name: str) -> dict[str, Tensor]:
    """The tensors that a study has saved under this name. Another process may be writing it.

    Raises:
        ArgumentError: if the name is invalid.
        StoreError: if there are none, or they are damaged.
    """
    file = Path(path).expanduser().resolve()
    kept = beside(file, "-weights") / f"{weights.check_name(name)}.pt"
    with _explained(f"load the weights {name!r} of", file):
        return weights.read(kept)


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Locks a store that is, or can become, a study."""
    with _explained("open", path):
        journal.check_header(path)  # before any file is created beside a foreign one
        check_beside(path)
        check_single_name(path)
        check_folder(path)
        try:
            lock = FileLock(beside(path, "-lock"))
        except StoreLockedError as error:
            raise StoreLockedError(
                f"cannot write to {str(path)!r}: {error}. Wait until it ends, stop it, or use "
                "another file. 'python -m proxyhpo show' can read the study meanwhile"
            ) from None
    with lock:
        yield


@contextlib.contextmanager
def _explained(doing: str, path: Path) -> Iterator[None]:
    """Turns errors of files, of SQLite and of their content into a StoreError."""
    try:
        yield
    except journal.ERRORS as error:
        # The message of an error of files is complete. Others keep their cause, for debugging.
        cause = None if isinstance(error, OSError) else error
        raise StoreError(f"cannot {doing} {str(path)!r}: {error}") from cause
