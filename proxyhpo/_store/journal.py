"""The SQLite file: events in the order in which they were appended, the first of them the identity.

The file may come from anybody. So it must hold exactly the table made here (no triggers, no
views), SQLite checks its structure before it is used, and what is read is checked to be JSON.
A checksum tells a file that the disk has damaged from one that says something else.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proxyhpo._store.files import check_beside, open_regular
from proxyhpo._store.strict_json import decode

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "ERRORS",
    "append",
    "check_header",
    "close",
    "connect_to_read",
    "connect_to_write",
    "events",
    "identity",
]

ERRORS = (OSError, sqlite3.Error, RuntimeError, ValueError)
"""What can go wrong with a file: the system, SQLite, torch, and content that is not as it was."""

_APPLICATION = int.from_bytes(b"PHPO", "big")
_FORMAT = 1
_TABLE = (
    "CREATE TABLE events (number INTEGER PRIMARY KEY,"
    " kind TEXT NOT NULL, body TEXT NOT NULL, checksum INTEGER NOT NULL)"
)
_IDENTITY = "study"
_WAIT_SECONDS = 60.0
_NETWORK = {"9p", "afs", "beegfs", "ceph", "cifs", "fuse.glusterfs", "fuse.sshfs", "gpfs", "lustre"}
_NETWORK |= {"nfs", "nfs4", "pvfs2", "smb3"}


def check_header(path: Path) -> None:
    """Sees that the file is a SQLite one, or empty, or missing, without touching it.

    Raises:
        OSError: if it is a link, or no file.
        ValueError: if it is a file of anything else.
    """
    with contextlib.suppress(FileNotFoundError):
        with os.fdopen(open_regular(path, os.O_RDONLY), "rb") as file:
            start = file.read(16)
        if start and start != b"SQLite format 3\0":
            raise ValueError("it is damaged, or no SQLite file at all")


def connect_to_write(path: Path, own_identity: str) -> sqlite3.Connection:
    """A connection to the study in this file, which is made with this identity if there is none."""
    with _closed_on_error(
        # Autocommit; and a study may be told of results from another thread than opened it.
        sqlite3.connect(path, _WAIT_SECONDS, isolation_level=None, check_same_thread=False)
    ) as connection:
        if _is_new(connection):
            _set_durability(connection, wal=not _on_network(path))
            _create(connection, own_identity)
        else:
            _verify(connection)
            _set_durability(connection, wal=not _on_network(path))
            # Written again, because SQLite opens a read-only file without a word.
            connection.execute(f"PRAGMA user_version = {_FORMAT}")
    return connection


def connect_to_read(path: Path) -> sqlite3.Connection:
    """A connection that cannot write, beside a process that may be writing; links are resolved."""
    path.stat()  # SQLite says less clearly that there is no such file
    check_header(path)
    check_beside(path)
    uri = f"{path.as_uri()}?mode=ro"
    with _closed_on_error(
        sqlite3.connect(uri, _WAIT_SECONDS, uri=True, isolation_level=None)
    ) as connection:
        _verify(connection)
    return connection


def identity(connection: sqlite3.Connection) -> dict[str, Any]:
    """What makes it this study."""
    row = connection.execute("SELECT * FROM events WHERE number = 1").fetchone()
    if row is None or row[1] != _IDENTITY:
        raise ValueError("it does not begin with the identity of a study")
    return _event(1, row)[1]


def append(connection: sqlite3.Connection, kind: str, body: str) -> None:
    """Commits an event."""
    connection.execute(
        "INSERT INTO events (kind, body, checksum) VALUES (?, ?, ?)",
        (kind, body, checksum(kind, body)),
    )


def events(connection: sqlite3.Connection) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every (kind, body) after the identity, in order."""
    query = "SELECT * FROM events WHERE number > 1 ORDER BY number"
    for expected, row in enumerate(connection.execute(query).fetchall(), start=2):
        yield _event(expected, row)


def checksum(kind: str, body: str) -> int:
    """Tells damage by chance, not on purpose."""
    return zlib.crc32(f"{kind} {body}".encode())


def close(connection: sqlite3.Connection) -> None:
    """Closes the connection and leaves one plain file that can be copied, or read anywhere."""
    # Fails while somebody reads, or on a full disk. Then the file stays as it is, which is valid.
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


def _is_new(connection: sqlite3.Connection) -> bool:
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    marks = _pragma(connection, "application_id"), _pragma(connection, "user_version")
    return tables == 0 and marks == (0, 0)


def _create(connection: sqlite3.Connection, own_identity: str) -> None:
    connection.execute("BEGIN IMMEDIATE")  # one transaction: a study is made whole or not at all
    with connection:
        connection.execute(f"PRAGMA application_id = {_APPLICATION}")
        connection.execute(f"PRAGMA user_version = {_FORMAT}")
        connection.execute(_TABLE)
        append(connection, _IDENTITY, own_identity)


def _verify(connection: sqlite3.Connection) -> None:
    if _pragma(connection, "application_id") != _APPLICATION:
        raise ValueError("it is a SQLite file, but holds no proxyhpo study")
    version = _pragma(connection, "user_version")
    if version != _FORMAT:
        advice = "; a newer proxyhpo wrote it" if version > _FORMAT else ""
        raise ValueError(f"it has format {version}, this proxyhpo knows format {_FORMAT}{advice}")
    if connection.execute("SELECT sql FROM sqlite_master").fetchall() != [(_TABLE,)]:
        raise ValueError("its tables are not those of a study")
    verdict = _pragma(connection, "quick_check(1)")
    if verdict != "ok":
        raise ValueError(f"it is damaged: {verdict}")


def _set_durability(connection: sqlite3.Connection, *, wal: bool) -> None:
    """With a write-ahead log (WAL) an append costs no wait for the disk."""
    mode = "delete"
    if wal:
        # Some file systems cannot share memory, which WAL needs; the first read finds out.
        with contextlib.suppress(sqlite3.OperationalError):
            mode = _pragma(connection, "journal_mode = WAL")
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if mode != "wal":
        _pragma(connection, "journal_mode = DELETE")
    # Without WAL, only FULL keeps the file whole when the power fails.
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


def _on_network(path: Path) -> bool:
    """Whether several machines may see the file, which WAL must not be used for; Linux tells."""
    mounts = Path("/proc/self/mountinfo")
    if not mounts.exists():
        return False
    kinds: dict[str, str] = {}
    for line in mounts.read_text().splitlines():
        before, _, after = line.partition(" - ")
        kinds[before.split()[4]] = after.split()[0]
    around = (kinds[str(folder)] for folder in path.parents if str(folder) in kinds)
    return next(around, None) in _NETWORK
