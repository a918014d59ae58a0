import contextlib
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import torch

from proxyhpo._store import journal, open_store, read_study, read_weights
from proxyhpo.errors import ArgumentError, StoreError, StoreLockedError, StudyMismatchError

IDENTITY = {"space": {"lr": {"low": 1e-4, "high": 1.0}}, "seed": 0}
EVENTS = [("trial", {"number": n, "config": {"lr": n / 7}}) for n in range(20)]


@pytest.fixture
def path(tmp_path):
    """A study with events, closed."""
    with open_store(tmp_path / "study.db", IDENTITY) as store:
        for event in EVENTS:
            store.append(*event)
    return tmp_path / "study.db"


@contextlib.contextmanager
def unprivileged():
    """Whoever runs the tests: permissions count, which they do not for root."""
    user = os.geteuid()
    os.seteuid(user or 65534)
    try:
        yield
    finally:
        os.seteuid(user)


@pytest.fixture
def open_folder():
    """A folder that lies where everybody may go."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        yield Path(folder)
        Path(folder).chmod(0o777)


def test_a_reopened_study_continues_after_its_last_event(path):
    with open_store(path, IDENTITY) as store:
        assert list(store.events()) == EVENTS
        store.append("record", {"trial": 0})
    assert read_study(path) == (IDENTITY, [*EVENTS, ("record", {"trial": 0})])


def test_a_closed_study_is_one_plain_file(path, tmp_path):
    assert sorted(file.name for file in tmp_path.iterdir()) == ["study.db", "study.db-lock"]
    copy = shutil.copy(path, tmp_path / "copy.db")
    assert read_study(copy) == (IDENTITY, EVENTS)


def test_a_path_may_start_with_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    open_store("~/study.db", {}).close()
    assert read_study("~/study.db") == ({}, [])
    assert (tmp_path / "study.db").exists()


@pytest.mark.parametrize("given", ["", ".", "sqlite:///study.db", "file:study.db", 3, b""])
def test_an_invalid_path_is_rejected(given):
    with pytest.raises(ArgumentError, match="store must be the path of a file"):
        open_store(given, {})


@pytest.mark.parametrize("given", [":memory:", Path(":memory:"), "file::memory:?cache=shared"])
def test_sqlites_name_for_memory_is_refused_and_makes_no_file(given, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ArgumentError, match="omit store to keep the study in memory"):
        open_store(given, {})
    assert list(tmp_path.iterdir()) == []


def test_another_identity_is_refused_and_the_file_let_go(path):
    with pytest.raises(StudyMismatchError, match=r"seed: stored 0, given 1"):
        open_store(path, IDENTITY | {"seed": 1})
    with open_store(path, IDENTITY) as store:
        assert list(store.events()) == EVENTS


def test_an_invalid_identity_is_rejected_before_anything_is_created(tmp_path):
    with pytest.raises(ArgumentError, match="space is a object"):
        open_store(tmp_path / "study.db", {"space": object()})
    assert list(tmp_path.iterdir()) == []


def test_one_writer_and_any_reader(path, tmp_path):
    with open_store(path, IDENTITY) as store:
        link = tmp_path / "link.db"
        link.symlink_to(path)
        for name in (path, link):
            with pytest.raises(StoreLockedError, match="this process already has it open"):
                open_store(name, IDENTITY)
        store.append("record", {"trial": 0})
        assert read_study(link) == (IDENTITY, [*EVENTS, ("record", {"trial": 0})])
        store.append("record", {"trial": 1})
        assert len(read_study(path)[1]) == len(EVENTS) + 2


def test_closing_beside_a_reader_keeps_everything(path):
    store = open_store(path, IDENTITY)
    store.append("record", {})
    with contextlib.closing(journal.connect_to_read(path)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM events").fetchone()
        store.close()
    assert read_study(path) == (IDENTITY, [*EVENTS, ("record", {})])


def test_a_closed_store_says_so(path):
    store = open_store(path, IDENTITY)
    store.close()
    with pytest.raises(StoreError, match=r"cannot write to .* closed database"):
        store.append("trial", {})


def test_without_a_write_ahead_log_it_works_as_well(path, monkeypatch):
    monkeypatch.setattr(journal, "is_shared", lambda path: True)
    with open_store(path, IDENTITY) as store:
        store.append("record", {})
        assert not path.with_name("study.db-wal").exists()
        assert store._connection.execute("PRAGMA synchronous").fetchone() == (2,)
        assert read_study(path)[1] == [*EVENTS, ("record", {})]


def test_a_file_system_that_refuses_the_log_gets_none(path):
    class Refusing(sqlite3.Connection):
        """A connection on a file system that cannot share memory."""

        def execute(self, statement, *arguments):
            if "WAL" in statement:
                raise sqlite3.OperationalError("locking protocol")
            return super().execute(statement, *arguments)

    with contextlib.closing(sqlite3.connect(path, factory=Refusing)) as connection:
        journal._set_durability(connection, wal=True)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)


def test_a_full_disk_is_an_error_and_what_was_written_stays(path):
    with open_store(path, IDENTITY) as store:
        (pages,) = store._connection.execute("PRAGMA page_count").fetchone()
        store._connection.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(StoreError, match=r"cannot write to .*: database or disk is full"):
            store.append("record", {"reports": [0.1] * 10_000})
        assert list(store.events()) == EVENTS
        store._connection.execute("PRAGMA max_page_count = 1000000")
        store.append("record", {})
    assert read_study(path)[1] == [*EVENTS, ("record", {})]


@contextlib.contextmanager
def files_limited_to(size):
    """A real limit of the system, as a quota or a full disk sets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("wal", [True, False])
def test_a_file_that_may_not_grow_loses_nothing(tmp_path, monkeypatch, wal):
    monkeypatch.setattr(journal, "is_shared", lambda path: not wal)
    written = []
    with (
        open_store(tmp_path / "study.db", {}) as store,
        files_limited_to(100_000),
        pytest.raises(StoreError, match="cannot write to"),
    ):
        for number in range(1000):
            store.append("record", {"n": number, "reports": "x" * 1000})
            written.append(number)
    assert [body["n"] for _, body in read_study(tmp_path / "study.db")[1]] == written
    assert written


def test_weights_on_a_full_disk_leave_the_old_ones(path):
    with open_store(path, IDENTITY) as store:
        store.save_weights("best", {"w": torch.zeros(1)})
        folder = path.with_name("study.db-weights")
        with (
            files_limited_to(100_000),
            pytest.raises(StoreError, match="cannot save the weights 'best' of"),
        ):
            store.save_weights("best", {"w": torch.ones(100_000)})
        assert read_weights(path, "best")["w"].item() == 0
        assert [file.name for file in folder.iterdir()] == ["best.pt"]


def test_weights_do_not_drag_the_tensor_they_are_a_view_of(path):
    with open_store(path, IDENTITY) as store:
        store.save_weights("view", {"w": torch.zeros(1_000_000)[:10]})
    assert path.with_name("study.db-weights").joinpath("view.pt").stat().st_size < 10_000


def test_a_read_only_file_can_be_read_but_not_written(open_folder):
    path = open_folder / "study.db"
    with open_store(path, IDENTITY) as store:
        store.append(*EVENTS[0])
    path.chmod(0o444)
    path.with_name("study.db-lock").chmod(0o666)
    open_folder.chmod(0o555)
    with unprivileged():
        assert read_study(path) == (IDENTITY, EVENTS[:1])
        with pytest.raises(StoreError, match=r"cannot open .*attempt to write a readonly database"):
            open_store(path, IDENTITY)


def test_a_read_only_folder_is_an_error(open_folder):
    open_folder.chmod(0o555)
    with unprivileged(), pytest.raises(StoreError, match=r"cannot open .*Permission denied"):
        open_store(open_folder / "study.db", {})


FORK = """
import os, sys
from proxyhpo.errors import StoreError
from proxyhpo._store import open_store, read_study

path = sys.argv[1]
store = open_store(path, {})
store.append("trial", {"from": "parent"})
store.save_weights("best", {})
if (child := os.fork()) == 0:
    uses = [lambda: store.append("trial", {"from": "child"}), lambda: list(store.events()),
            lambda: store.save_weights("best", {}), lambda: open_store(path, {})]
    refused = 0
    for use in uses:
        try:
            use()
        except StoreError as error:
            refused += 1
    store.close()
    del store, uses
    sys.exit(10 + refused)  # an ordinary exit, which closes whatever it can
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 14
assert os.path.exists(path + "-wal")
store.append("record", {"from": "parent"})
store.close()
assert [kind for kind, body in read_study(path)[1]] == ["trial", "record"]
"""


def test_a_forked_child_is_refused_and_does_no_harm(tmp_path):
    command = [sys.executable, "-c", FORK, str(tmp_path / "study.db")]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_ten_thousand_trials_read_back(tmp_path):
    record = {"config": {"lr": 0.1, "units": 64}, "reports": [0.1] * 20}
    with open_store(tmp_path / "study.db", {}) as store:
        for number in range(10_000):
            store.append("trial", {"number": number})
            store.append("record", record | {"trial": number})
    with open_store(tmp_path / "study.db", {}) as store:
        numbers = [body["number"] for kind, body in store.events() if kind == "trial"]
    assert numbers == list(range(10_000))
