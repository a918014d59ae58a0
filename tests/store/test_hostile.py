"""Files from others, torn files: a clear error or right data, never a crash, never code run."""

import contextlib
import itertools
import os
import pickle
import shutil
import sqlite3
import struct
import zipfile

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxyhpo._store import journal, open_store, read_study, read_weights
from proxyhpo.errors import ArgumentError, StoreError

IDENTITY = {"seed": 0}
EVENTS = [("trial", {"number": n, "text": "x" * 500}) for n in range(50)]


@pytest.fixture
def path(tmp_path):
    with open_store(tmp_path / "study.db", IDENTITY) as store:
        for event in EVENTS:
            store.append(*event)
    return tmp_path / "study.db"


@pytest.fixture
def trap(tmp_path):
    """An object that leaves a mark where it is unpickled."""

    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "caught"),)

    yield Trap()
    assert not (tmp_path / "caught").exists()


def both_ways(path):
    """Opens to read and to write; what either says."""
    messages = []
    for use in (read_study, lambda path: open_store(path, IDENTITY)):
        with pytest.raises(StoreError) as caught:
            use(path)
        messages.append(str(caught.value))
    return messages


def change(path, *statements):
    """What anybody with SQLite can do to a file, who knows its checksums."""
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.create_function("checksum", 2, checksum)
        for statement in statements:
            connection.execute(*([statement] if isinstance(statement, str) else statement))


def checksum(kind, body):
    return journal.checksum(kind, body) if isinstance(body, str) else 0


def set_body(number, body):
    statement = "UPDATE events SET body = ?1, checksum = checksum(kind, ?1) WHERE number = ?2"
    return statement, (body, number)


@pytest.mark.parametrize(
    "content", [b"lr = 0.1\n", b"\0" * 5000, b"SQLite", b"PK\3\4", pickle.dumps({"a": 1})]
)
def test_a_file_of_another_kind_is_not_changed(tmp_path, content):
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    for message in both_ways(path):
        assert "it is damaged, or not a SQLite file" in message
    assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


def test_a_database_of_another_program_is_not_changed(tmp_path):
    path = tmp_path / "optuna.db"
    change(path, "CREATE TABLE studies (study_id INTEGER)")
    before = path.read_bytes()
    for message in both_ways(path):
        assert "it is a SQLite file, but contains no proxyhpo study" in message
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [None, b""])
def test_reading_a_missing_study_is_an_error(tmp_path, content):
    path = tmp_path / "study.db"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(StoreError, match="cannot read "):
        read_study(path)
    assert path.exists() == (content is not None)
    open_store(path, IDENTITY).close()
    assert read_study(path) == (IDENTITY, [])


def test_a_folder_is_not_a_study(tmp_path):
    with pytest.raises(StoreError, match="Is a directory"):
        read_study(tmp_path)
    with pytest.raises(ArgumentError, match="must be the path of a file, got the folder"):
        open_store(tmp_path, IDENTITY)


def test_a_file_of_a_newer_version_is_not_touched(path):
    change(path, "PRAGMA user_version = 7")
    for message in both_ways(path):
        assert (
            "it has format 7, this version reads format 1; it was written by a newer version"
            in message
        )


TORN = [*range(1, 120, 7), 511, 512, 1000, 4095, 4096, 4097, 8192, 10_000, -4096, -512, -1]


@pytest.mark.parametrize("size", TORN)
def test_a_torn_file_is_an_error(path, size):
    content = path.read_bytes()
    path.write_bytes(content[:size])
    with pytest.raises(StoreError, match=path.name):
        read_study(path)
    with pytest.raises(StoreError, match=path.name), open_store(path, IDENTITY) as store:
        list(store.events())


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_file_with_bytes_changed_is_an_error_or_reads_right(path, data):
    original = path.read_bytes()
    content = bytearray(original)
    # Half of them in the pages that hold the schema and the structure.
    for position in data.draw(
        st.lists(
            st.integers(0, 200) | st.integers(0, 8200) | st.integers(0, len(content) - 1),
            min_size=1,
            max_size=8,
        )
    ):
        content[position] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        with contextlib.suppress(StoreError):
            assert read_study(path) == (IDENTITY, EVENTS)
        with contextlib.suppress(StoreError), open_store(path, IDENTITY) as store:
            assert list(store.events()) == EVENTS
            store.append("trial", {"number": 50})
            assert list(store.events()) == [*EVENTS, ("trial", {"number": 50})]
    finally:
        path.write_bytes(original)
        for left in ("-wal", "-shm", "-journal"):
            path.with_name(path.name + left).unlink(missing_ok=True)


def deep(levels):
    return '{"a":' * levels + "1" + "}" * levels


@pytest.mark.parametrize(
    "body",
    [
        b"\x80\x04.",
        b"\xff\xfe",
        7,
        1.5,
        "",
        "null",
        "[1]",
        '"text"',
        '{"value": NaN}',
        '{"value": 1' + "0" * 5000 + "}",
        '{"a": 1} x',
        deep(100_000),
    ],
)
def test_an_invalid_body_is_an_error(path, body):
    change(path, set_body(7, body))
    with pytest.raises(StoreError, match="cannot read "):
        read_study(path)
    with open_store(path, IDENTITY) as store:
        events = store.events()
        assert list(itertools.islice(events, 5)) == EVENTS[:5]
        with pytest.raises(StoreError, match="cannot read "):
            next(events)


def test_text_that_is_not_unicode_is_an_error(path):
    change(path, "UPDATE events SET body = CAST(x'7bff7d' AS TEXT) WHERE number = 7")
    with pytest.raises(StoreError, match="cannot read "):
        read_study(path)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM events WHERE number = 7",
        "UPDATE events SET number = -5 WHERE number = 7",
        "UPDATE events SET kind = x'00' WHERE number = 7",
        "UPDATE events SET body = replace(body, 'x', 'y') WHERE number = 7",
        "UPDATE events SET checksum = '1' WHERE number = 7",
    ],
)
def test_an_event_that_is_missing_or_of_the_wrong_type_is_named(path, statement):
    change(path, statement)
    with pytest.raises(StoreError, match="event 7 is missing or damaged"):
        read_study(path)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM events",
        "DELETE FROM events WHERE number = 1",
        "UPDATE events SET kind = 'trial' WHERE number = 1",
        "UPDATE events SET kind = x'80' WHERE number = 1",
        set_body(1, "[1]"),
        set_body(1, b"{}"),
        set_body(1, deep(100_000)),
    ],
)
def test_a_bad_identity_is_an_error(path, statement):
    change(path, statement)
    for message in both_ways(path):
        assert "cannot " in message


@pytest.mark.parametrize(
    "statements",
    [
        ["CREATE TRIGGER t AFTER INSERT ON events BEGIN DELETE FROM events; END"],
        ["CREATE TABLE more (a)"],
        ["CREATE VIEW v AS SELECT 1"],
        ["DROP TABLE events", "CREATE VIEW events AS SELECT 1 AS number, '' AS kind, '' AS body"],
        ["DROP TABLE events"],
        ["ALTER TABLE events ADD COLUMN more"],
        ["CREATE INDEX i ON events (lower(kind))"],
    ],
)
def test_tables_other_than_ours_are_refused(path, statements):
    change(path, *statements)
    for message in both_ways(path):
        assert "its tables are not those of a study" in message


def test_names_and_numbers_are_data_and_nothing_more(path):
    body = {"'; DROP TABLE events; --": 10**4000, "../../etc": -1e308, "__reduce__": ["os.system"]}
    with open_store(path, IDENTITY) as store:
        store.append("'); DROP TABLE study; --", body)
        assert list(store.events())[-1] == ("'); DROP TABLE study; --", body)
    assert read_study(path)[1][:-1] == EVENTS


def test_weights_with_code_in_them_are_refused(path, trap):
    folder = path.with_name("study.db-weights")
    folder.mkdir()
    torch.save({"w": trap}, folder / "zip.pt")
    torch.save({"w": trap}, folder / "old.pt", _use_new_zipfile_serialization=False)
    (folder / "bare.pt").write_bytes(pickle.dumps({"w": trap}))
    for name in ("zip", "old", "bare"):
        with pytest.raises(StoreError, match=f"cannot load the weights '{name}' of"):
            read_weights(path, name)


def test_weights_that_are_damaged_are_an_error(path):
    folder = path.with_name("study.db-weights")
    with open_store(path, IDENTITY) as store:
        store.save_weights("best", {"w": torch.zeros(100)})
        whole = (folder / "best.pt").read_bytes()
        torch.save([1, 2], folder / "list.pt")
        with zipfile.ZipFile(folder / "other.pt", "w") as archive:
            archive.writestr("a/b", "c")
        for size in (0, 3, 10, len(whole) // 2, len(whole) - 1):
            (folder / f"torn{size}.pt").write_bytes(whole[:size])
        for file in folder.iterdir():
            if file.stem != "best":
                with pytest.raises(StoreError, match="cannot load the weights"):
                    read_weights(path, file.stem)


BESIDE = ["-lock", "-wal", "-shm", "-journal", "-weights", "-checkpoints"]


@pytest.mark.parametrize("to", ["precious.txt", "missing.txt", "folder"])
@pytest.mark.parametrize("suffix", BESIDE)
def test_no_link_beside_a_store_is_followed(path, suffix, to):
    precious, folder = path.with_name("precious.txt"), path.with_name("folder")
    precious.write_text("precious")
    folder.mkdir()
    link = path.with_name(path.name + suffix)
    link.unlink(missing_ok=True)
    link.symlink_to(path.with_name(to))
    for message in both_ways(path):
        assert f"'study.db{suffix}' is a symbolic link" in message
    assert precious.read_text() == "precious"
    assert not path.with_name("missing.txt").exists()
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("suffix", ["", *BESIDE])
def test_a_pipe_is_not_waited_for(path, suffix):
    pipe = path.with_name(path.name + suffix)
    pipe.unlink(missing_ok=True)
    os.mkfifo(pipe)
    for message in both_ways(path):
        assert f"'study.db{suffix}' is not the kind of file" in message


def test_a_folder_in_the_place_of_a_file_is_an_error(path):
    path.with_name("study.db-wal").mkdir()
    for message in both_ways(path):
        assert "Is a directory: 'study.db-wal'" in message


def test_no_link_among_the_weights_is_followed(path):
    precious, folder = path.with_name("precious.txt"), path.with_name("study.db-weights")
    precious.write_text("precious")
    folder.mkdir()
    for name in ("best.tmp", "best.pt"):
        (folder / name).symlink_to(precious)
    with open_store(path, IDENTITY) as store:
        with pytest.raises(StoreError, match=r"'best\.pt' is a symbolic link"):
            read_weights(path, "best")
        store.save_weights("best", {"w": torch.ones(1)})
        assert read_weights(path, "best")["w"].item() == 1
    assert precious.read_text() == "precious"
    assert [file.name for file in folder.iterdir()] == ["best.pt"]


def test_a_journal_cannot_have_a_file_deleted(path):
    """SQLite deletes what a transaction over several databases names at the journal's end."""
    precious = path.with_name("precious.txt")
    precious.write_text("precious")
    magic, name = bytes.fromhex("d9d505f920a163d7"), os.fsencode(precious)
    pages = path.stat().st_size // 4096
    header = (magic + struct.pack(">5I", 0, 7, pages, 512, 4096)).ljust(512, b"\0")
    end = struct.pack(">I", 2**30 // 4096 + 1) + name + struct.pack(">2I", len(name), sum(name))
    path.with_name("study.db-journal").write_bytes(header + end + magic)
    for message in both_ways(path):
        assert "'study.db-journal' is the journal of several databases" in message
    assert precious.read_text() == "precious"


def test_a_store_that_is_itself_a_link_keeps_what_it_has_beside_the_file(path, tmp_path):
    link = tmp_path / "elsewhere" / "link.db"
    link.parent.mkdir()
    link.symlink_to(path)
    open_store(link, IDENTITY).close()
    assert read_study(link) == (IDENTITY, EVENTS)
    assert list(link.parent.iterdir()) == [link]


def test_bodies_are_never_unpickled(path, trap):
    change(path, set_body(7, pickle.dumps(trap)))
    with pytest.raises(StoreError, match="event 7 is missing or damaged"):
        read_study(path)


def test_a_study_whose_making_was_cut_off_is_made_again(tmp_path):
    path = tmp_path / "study.db"
    with contextlib.closing(sqlite3.connect(tmp_path / "cut.db", isolation_level=None)) as cut:
        cut.execute("PRAGMA cache_size = 1")  # so that pages are written before the commit
        cut.execute("BEGIN IMMEDIATE")
        cut.execute("CREATE TABLE events (number)")
        cut.executemany("INSERT INTO events VALUES (?)", [(number,) for number in range(9999)])
        open_store(path, {"seed": 1}).close()
        shutil.copy(tmp_path / "cut.db-journal", tmp_path / "study.db-journal")
    open_store(path, IDENTITY).close()
    assert read_study(path) == (IDENTITY, [])
    assert journal.ERRORS  # the module under test is the one that the store uses
