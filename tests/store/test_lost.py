"""Stores whose files are copied, removed, replaced or opened twice while a process writes them."""

import contextlib
import os
import shutil
import signal
import sqlite3

import pytest
import torch

from proxyhpo._store import copy_study, open_store, read_study, read_weights, sqlite
from proxyhpo.errors import ArgumentError, StoreError, StoreLockedError

IDENTITY = {"seed": 0}
EVENTS = [("trial", {"number": number}) for number in range(10)]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "study.db"


@pytest.fixture
def store(path):
    """With events, open."""
    with open_store(path, IDENTITY) as store:
        for event in EVENTS:
            store.append(*event)
        yield store


def test_the_identity_is_in_the_file_itself(path, tmp_path):
    with open_store(path, IDENTITY) as store:
        store.append(*EVENTS[0])
        shutil.copy(path, tmp_path / "copy.db")
    with (
        pytest.warns(UserWarning, match=r"last events of .*copy.db' may be missing"),
        open_store(tmp_path / "copy.db", IDENTITY) as copied,
    ):
        assert list(copied.events()) == []


def test_the_file_itself_is_never_far_behind(path, tmp_path, monkeypatch):
    monkeypatch.setattr(sqlite, "_CHECKPOINT_SECONDS", 0.0)
    with open_store(path, IDENTITY) as store:
        for event in EVENTS:
            store.append(*event)
            shutil.copy(path, tmp_path / "copy.db")
            assert read_study(tmp_path / "copy.db")[1][-1] == event


@pytest.fixture
def killed(path):
    """The store of a process that was killed after its last event."""
    if (child := os.fork()) == 0:
        store = open_store(path, IDENTITY)
        for event in EVENTS:
            store.append(*event)
        os.kill(os.getpid(), signal.SIGKILL)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    return path


def test_a_killed_study_without_its_log_says_so(killed):
    killed.with_name("study.db-wal").unlink()
    killed.with_name("study.db-shm").unlink(missing_ok=True)
    with pytest.warns(UserWarning, match="may be missing"), open_store(killed, IDENTITY) as store:
        kept = list(store.events())
    assert kept == EVENTS[: len(kept)]
    with open_store(killed, IDENTITY) as store:  # and no more of it, once it was closed
        assert list(store.events()) == kept


def test_a_new_study_does_not_destroy_the_log_of_a_lost_one(killed):
    log = killed.with_name("study.db-wal").read_bytes()
    content = killed.read_bytes()
    for replace in (killed.unlink, lambda: killed.write_bytes(b"")):
        replace()
        with pytest.raises(StoreError, match=r"delete the file 'study.db-wal' in '.*', or"):
            open_store(killed, IDENTITY)
        assert killed.with_name("study.db-wal").read_bytes() == log
    killed.write_bytes(content)
    with open_store(killed, IDENTITY) as store:
        assert list(store.events()) == EVENTS


def test_a_new_study_does_not_destroy_the_weights_of_another(path, store):
    store.save_weights("best", {"w": torch.ones(2)})
    store.close()
    path.unlink()
    with pytest.raises(StoreError, match=r"delete the folder 'study.db-weights' in") as caught:
        open_store(path, {"seed": 1})
    assert caught.value.__suppress_context__  # the traceback shows this error alone
    assert read_weights(path, "best")["w"].tolist() == [1, 1]
    shutil.rmtree(path.with_name("study.db-weights"))
    with open_store(path, {"seed": 1}) as other:
        assert other.weights() == []


def test_a_folder_that_does_not_exist_is_not_created(path, store, tmp_path):
    missing = tmp_path / "studys" / "deep" / "study.db"
    with pytest.raises(ArgumentError, match=r"store: there is no folder '.*studys.deep'") as error:
        open_store(missing, IDENTITY)
    assert f"nearest that exists is {str(tmp_path)!r}" in str(error.value)
    with pytest.raises(StoreError, match=r"cannot copy .*there is no folder"):
        copy_study(path, missing)
    assert not missing.parent.parent.exists()


def test_a_killed_study_with_its_log_is_whole(killed):
    with open_store(killed, IDENTITY) as store:
        assert list(store.events()) == EVENTS


def test_a_database_without_tables_is_not_a_new_study(path):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE passing (number)")
        connection.execute("DROP TABLE passing")
    before = path.read_bytes()
    for use in (read_study, lambda path: open_store(path, IDENTITY)):
        with pytest.raises(
            StoreError, match=r"without tables, possibly a copy .* without its -wal"
        ):
            use(path)
    assert path.read_bytes()[28:] == before[28:]


def test_a_log_that_is_removed_while_the_study_runs_loses_nothing(path, store):
    path.with_name("study.db-wal").unlink()
    store.append("record", {})
    store.close()
    assert read_study(path)[1] == [*EVENTS, ("record", {})]


def test_two_writers_without_a_lock_break_nothing(path, store):
    path.with_name("study.db-lock").unlink()
    with open_store(path, IDENTITY) as second:
        second.append("record", {"by": "second"})
        for _ in range(2):
            with pytest.raises(StoreError, match="another process has written to it meanwhile"):
                store.append("record", {"by": "first"})
        second.append("record", {"by": "second again"})
    store.close()
    by = [body["by"] for kind, body in read_study(path)[1] if kind == "record"]
    assert by == ["second", "second again"]


def test_a_folder_by_another_name_has_the_same_lock(path, store, tmp_path):
    (tmp_path / "elsewhere").symlink_to(tmp_path, target_is_directory=True)
    with pytest.raises(StoreLockedError):
        open_store(tmp_path / "elsewhere" / "study.db", IDENTITY)


def test_a_hard_link_is_read_but_not_written(path, store, tmp_path):
    store.close()
    (tmp_path / "link.db").hardlink_to(path)
    with pytest.raises(StoreError, match="hard links"):
        open_store(tmp_path / "link.db", IDENTITY)
    assert read_study(tmp_path / "link.db")[1] == EVENTS
    copy_study(tmp_path / "link.db", tmp_path / "copy.db")
    with open_store(tmp_path / "copy.db", IDENTITY) as copied:
        assert list(copied.events()) == EVENTS


@pytest.mark.parametrize("also", [[], ["-wal", "-shm"], ["-wal", "-shm", "-lock"]])
@pytest.mark.parametrize("is_noticed_by", ["append", "check"])
def test_a_deleted_file_is_written_again(path, store, also, is_noticed_by):
    for suffix in ("", *also):
        path.with_name(f"study.db{suffix}").unlink()
    expected = EVENTS
    with pytest.raises(StoreError, match=r"deleted or replaced .* saved to '.*study.db': resume"):
        if is_noticed_by == "append":
            expected = [*EVENTS, ("record", {})]
            store.append("record", {})
        else:
            store.check()
    with pytest.raises(StoreError, match="deleted or replaced"):  # it stays lost for this run
        store.append("record", {})
    store.close()
    with open_store(path, IDENTITY) as again:
        assert list(again.events()) == expected


def test_a_deleted_folder_is_written_again(tmp_path):
    path = tmp_path / "runs" / "study.db"
    path.parent.mkdir()
    with open_store(path, IDENTITY) as store:
        store.append(*EVENTS[0])
        shutil.rmtree(path.parent)
        with pytest.raises(StoreError, match="deleted or replaced"):
            store.append(*EVENTS[1])
    assert read_study(path) == (IDENTITY, EVENTS[:2])


def test_a_file_that_replaced_a_study_is_not_changed(path, store, tmp_path):
    store.save_weights("best", {"w": torch.ones(2)})
    with open_store(tmp_path / "other.db", {"seed": 1}) as other:
        other.append("trial", {"of": "other"})
    (tmp_path / "other.db").replace(path)
    with pytest.raises(StoreError, match=r"saved to '.*study.db-rescued-1'"):
        store.append("record", {})
    store.close()
    assert read_study(path) == ({"seed": 1}, [("trial", {"of": "other"})])
    rescued = path.with_name("study.db-rescued-1")
    assert read_study(rescued) == (IDENTITY, [*EVENTS, ("record", {})])
    assert read_weights(rescued, "best")["w"].tolist() == [1, 1]


def test_a_study_in_use_by_another_process_keeps_its_log_when_a_lost_one_closes(path, store):
    for suffix in ("", "-wal", "-shm", "-lock"):
        path.with_name(f"study.db{suffix}").unlink()
    with open_store(path, IDENTITY) as other:
        other.append("trial", {"of": "other"})
        store.close()
        assert path.with_name("study.db-wal").exists()
        other.append("trial", {"of": "other again"})
    assert [body["of"] for _, body in read_study(path)[1]] == ["other", "other again"]


def test_where_nothing_can_be_written_the_error_says_that_too(path, store, tmp_path, monkeypatch):
    def full(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr(sqlite.copying, "rescue", full)
    path.unlink()
    with pytest.raises(StoreError, match=r"could not be saved: No space left"):
        store.append("record", {})


def test_a_copy_of_a_running_study_is_a_study(path, store, tmp_path):
    store.save_weights("trial-1-rung-1", {"w": torch.ones(2)})
    (tmp_path / "copies").mkdir()
    copy_study(path, tmp_path / "copies" / "copy.db")
    store.append("record", {})
    copied = tmp_path / "copies" / "copy.db"
    assert read_study(copied) == (IDENTITY, EVENTS)
    assert read_weights(copied, "trial-1-rung-1")["w"].tolist() == [1, 1]
    assert sorted(file.name for file in copied.parent.iterdir()) == ["copy.db", "copy.db-weights"]
    with open_store(copied, IDENTITY) as going_on:
        going_on.append("record", {})
    assert read_study(copied) == read_study(path)


def test_weights_that_change_during_the_copy_are_those_of_the_copied_records(
    path, store, tmp_path, monkeypatch
):
    store.save_weights("old", {"w": torch.zeros(1)})
    backup = sqlite.copying._backup

    def slow(connection, target):
        backup(connection, target)
        if "new" not in store.weights():
            store.save_weights("new", {"w": torch.ones(1)})
            store.append("record", {"kept": "new"})
            store.drop_weights("old")

    monkeypatch.setattr(sqlite.copying, "_backup", slow)
    copied = tmp_path / "copy.db"
    copy_study(path, copied)
    assert read_study(copied)[1][-1] == ("record", {"kept": "new"})
    assert read_weights(copied, "new")["w"].tolist() == [1]
    assert [file.name for file in (tmp_path / "copy.db-weights").iterdir()] == ["new.pt"]


@pytest.mark.parametrize("there", ["copy.db", "copy.db-weights"])
def test_a_copy_replaces_nothing(path, store, tmp_path, there):
    (tmp_path / there).mkdir()
    with pytest.raises(StoreError, match=f"cannot copy .*{there}' already exists"):
        copy_study(path, tmp_path / "copy.db")
    assert list((tmp_path / there).iterdir()) == []


def test_only_studies_are_copied(tmp_path):
    (tmp_path / "notes.txt").write_text("lr = 0.1")
    with pytest.raises(StoreError, match="not a SQLite file"):
        copy_study(tmp_path / "notes.txt", tmp_path / "copy.db")
    assert list(tmp_path.iterdir()) == [tmp_path / "notes.txt"]
