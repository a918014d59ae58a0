"""The SQLite file: the study's identity, then its events in the order in which they were appended.

The file may come from an untrusted source. It must therefore contain exactly the table created here
(no triggers, no views), SQLite checks its structure before use, and all content must be valid JSON.
A checksum detects events that were damaged on disk.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proxyhpo._store.files import beside, check_beside, open_regular
from proxyhpo._store.place import is_shared
from proxyhpo._store.strict_json import decode

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "ERRORS",
    "append",
    "check_header",
    "checkpoint",
    "close",
    "connect_to_read",
    "connect_to_write",
    "events",
    "identity",
    "lacks_log",
    "last_number",
    "touch",
]

ERRORS = (OSError, sqlite3.Error, RuntimeError, ValueError)
"""Errors of a file: of the system, of SQLite, of torch, and for unexpected content."""

_APPLICATION = int.from_bytes(b"PHPO", "big")
_FORMAT = 1
_TABLE = (
    "CREATE TABLE events (number INTEGER PRIMARY KEY,"
    " kind TEXT NOT NULL, body TEXT NOT NULL, checksum INTEGER NOT NULL)"
)
_IDENTITY = "study"
_WAIT_SECONDS = 60.0


def check_header(path: Path) -> None:
    """Checks that the file is a SQLite file, or empty, or missing, without changing it.

    Raises:
        OSError: if it is a link or not a regular file.
        ValueError: if it is another kind of file.
    """
    start = _header(path)[:16]
    if start and start != b"SQLite format 3\0":
        raise ValueError("it is damaged, or not a SQLite file")


def lacks_log(path: Path) -> bool:
    """Whether the file needs a write-ahead log that is missing or empty.

    A closed study is one plain file. Otherwise its last events are in the log.
    """
    try:
        is_empty = beside(path, "-wal").stat().st_size == 0
    except FileNotFoundError:
        is_empty = True
    # The read version of the file format (https://www.sqlite.org/fileformat.html) is 2 with a log.
    return is_empty and _header(path)[19:20] == b"\2"


def _header(path: Path) -> bytes:
    try:
        with os.fdopen(open_regular(path, os.O_RDONLY), "rb") as file:
            return file.read(20)
    except FileNotFoundError:
        return b""


def connect_to_write(path: Path, own_identity: str) -> sqlite3.Connection:
    """A connection to the study in this file; creates the study with this identity if missing."""
    with _closed_on_error(
        # Autocommit; results may be told from another thread than the one that opened the store.
        sqlite3.connect(path, _WAIT_SECONDS, isolation_level=None, check_same_thread=False)
    ) as connection:
        if _pragma(connection, "page_count") == 0:
            # Created without a log, so that the identity is in the file itself.
            _create(connection, own_identity)
            _set_durability(connection, wal=not is_shared(path))
        else:
            _verify(connection)
            _set_durability(connection, wal=not is_shared(path))
    return connection


def touch(connection: sqlite3.Connection) -> None:
    """Writes an existing value again, which creates a log and fails if the file is read-only.

    Raises:
        sqlite3.Error: if the file cannot be written.
    """
    connection.execute(f"PRAGMA user_version = {_FORMAT}")


def connect_to_read(path: Path) -> sqlite3.Connection:
    """A read-only connection, also while a process is writing; links are resolved."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):  # of which SQLite's error says less
        raise FileNotFoundError("there is no study at this path") from None
    check_header(path)
    check_beside(path)
    uri = f"{path.as_uri()}?mode=ro"
    with _closed_on_error(
        sqlite3.connect(uri, _WAIT_SECONDS, uri=True, isolation_level=None)
    ) as connection:
        _verify(connection)
    return connection


def identity(connection: sqlite3.Connection) -> dict[str, Any]:
    """The identity of the study."""
    row = connection.execute("SELECT * FROM events WHERE number = 1").fetchone()
    if row is None or row[1] != _IDENTITY:
        raise ValueError("it does not start with the identity of a study")
    return _event(1, row)[1]


def last_number(connection: sqlite3.Connection) -> int:
    """The number of the last event; the identity is number 1."""
    (number,) = connection.execute("SELECT max(number) FROM events").fetchone()
    return int(number)


def append(connection: sqlite3.Connection, number: int, kind: str, body: str) -> None:
    """Commits an event.

    Raises:
        ValueError: if there is one of this number already, so that no event of another writer is
            taken for one of this study's run.
    """
    try:
        connection.execute(
            "INSERT INTO events VALUES (?, ?, ?, ?)", (number, kind, body, checksum(kind, body))
        )
    except sqlite3.IntegrityError:
        raise ValueError(
            "another process has written to it meanwhile. Was its -lock file removed? Nothing is "
            "lost: end the other process, then run again to resume"
        ) from None


def checkpoint(connection: sqlite3.Connection) -> None:
    """Moves what is in the log into the file itself, as far as readers allow."""
    connection.execute("PRAGMA wal_checkpoint(PASSIVE)")


def events(connection: sqlite3.Connection) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every (kind, body) after the identity, in order."""
    query = "SELECT * FROM events WHERE number > 1 ORDER BY number"
    for expected, row in enumerate(connection.execute(query).fetchall(), start=2):
        yield _event(expected, row)


def checksum(kind: str, body: str) -> int:
    """Detects accidental damage, not manipulation."""
    return zlib.crc32(f"{kind} {body}".encode())


def close(connection: sqlite3.Connection, *, keep_log: bool = False) -> None:
    """Closes the connection and leaves one plain file that can be copied or read anywhere.

    Args:
        connection: to write.
        keep_log: whether to leave the log as it is.
    """
    if not keep_log:
        # This fails while another process reads, or on a full disk. The file is then left in WAL
        # mode, which is valid.
        with contextlib.suppress(sqlite3.Error):
            connection.execute("PRAGMA busy_timeout = 0")
            connection.execute("PRAGMA journal_mode = DELETE")
    connection.close()


@contextlib.contextmanager
def _closed_on_error(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    try:
        connection.execute("PRAGMA trusted_schema = OFF")
        yield connection
    except BaseException:
        connection.close()
        raise


def _create(connection: sqlite3.Connection, own_identity: str) -> None:
    connection.execute("BEGIN IMMEDIATE")  # one transaction, so that no partial study is created
    with connection:
        connection.execute(f"PRAGMA application_id = {_APPLICATION}")
        connection.execute(f"PRAGMA user_version = {_FORMAT}")
        connection.execute(_TABLE)
        append(connection, 1, _IDENTITY, own_identity)


def _verify(connection: sqlite3.Connection) -> None:
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    marks = _pragma(connection, "application_id"), _pragma(connection, "user_version")
    if tables == 0 and marks == (0, 0):
        raise ValueError(
            "it is a SQLite file without tables, possibly a copy of a running study without its "
            "-wal file: copy studies with 'python -m proxyhpo copy', or delete it to start over"
        )
    if _pragma(connection, "application_id") != _APPLICATION:
        raise ValueError("it is a SQLite file, but contains no proxyhpo study")
    version = _pragma(connection, "user_version")
    if version != _FORMAT:
        advice = "; it was written by a newer version" if version > _FORMAT else ""
        raise ValueError(f"it has format {version}, this version reads format {_FORMAT}{advice}")
    if connection.execute("SELECT sql FROM sqlite_master").fetchall() != [(_TABLE,)]:
        raise ValueError("its tables are not those of a study")
    verdict = _pragma(connection, "quick_check(1)")
    if verdict != "ok":
        raise ValueError(f"it is damaged: {verdict}")


def _set_durability(connection: sqlite3.Connection, *, wal: bool) -> None:
    """Uses a write-ahead log (WAL) if possible, so that an append does not wait for the disk."""
    mode = "delete"
    if wal:
        # WAL needs shared memory, which some file systems lack; the first read then fails.
        with contextlib.suppress(sqlite3.OperationalError):
            mode = _pragma(connection, "journal_mode = WAL")
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if mode != "wal":
        _pragma(connection, "journal_mode = DELETE")
    # Without WAL, only FULL prevents damage when the power fails.
    connection.execute(f"PRAGMA synchronous = {'NORMAL' if mode == 'wal' else 'FULL'}")


def _pragma(connection: sqlite3.Connection, statement: str) -> Any:
    return connection.execute(f"PRAGMA {statement}").fetchone()[0]


def _event(expected: int, row: tuple[Any, ...]) -> tuple[str, dict[str, Any]]:
    number, kind, body, check = row
    typed = isinstance(kind, str) and isinstance(body, str)
    if number != expected or not typed or check != checksum(kind, body):
        raise ValueError(f"event {expected} is missing or damaged")
    data = decode(body)
    if isinstance(data, dict):
        return kind, data
    raise ValueError(f"event {expected} is not a mapping")
