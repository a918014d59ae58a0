import fcntl
import gc
import os
import signal
import subprocess
import sys

import pytest

from proxyhpo._store.lock import FileLock, holder
from proxyhpo.errors import StoreLockedError
from tests import scripts

TRY = """
import sys
from pathlib import Path
from proxyhpo._store.lock import FileLock
for line in sys.stdin:
    try:
        FileLock(Path(line.rstrip())).close()
        print("free", flush=True)
    except Exception as error:
        print(type(error).__name__, error, flush=True)
"""


@pytest.fixture(scope="module")
def try_elsewhere():
    """Tries to hold a file in another process, and says what came of it."""
    with subprocess.Popen(
        [sys.executable, "-c", TRY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:

        def ask(path):
            print(path, file=other.stdin, flush=True)
            return other.stdout.readline().rstrip()

        yield ask
        other.stdin.close()


def test_one_process_holds_it_and_is_named(tmp_path, try_elsewhere):
    path = tmp_path / "lock"
    with FileLock(path):
        assert try_elsewhere(path).startswith(f"StoreLockedError process {os.getpid()} on ")
        assert path.read_text().startswith(f"{os.getpid()} on ")
    assert try_elsewhere(path) == "free"


def test_a_holder_written_by_somebody_else_is_not_repeated(tmp_path, try_elsewhere):
    path = tmp_path / "lock"
    with FileLock(path):
        path.write_bytes(b"\x1b[31m\xff rm -rf")
        assert try_elsewhere(path) == "StoreLockedError another process is writing it"


def test_the_same_process_is_refused_too(tmp_path):
    path = tmp_path / "lock"
    with FileLock(path), pytest.raises(StoreLockedError, match="this process already has it open"):
        FileLock(path)


def test_the_holder_is_told_without_becoming_it(tmp_path, try_elsewhere):
    path = tmp_path / "lock"
    assert holder(path) == ""
    assert not path.exists()
    with FileLock(path):
        assert holder(path) == "this process already has it open"
    assert path.read_text()
    assert holder(path) == ""
    assert try_elsewhere(path) == "free"


def test_who_only_looks_whether_a_lock_is_held_stops_no_holder(tmp_path, monkeypatch):
    path = tmp_path / "lock"
    FileLock(path).close()
    with path.open() as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        assert holder(path) == "", "others may look at the same time"
        monkeypatch.setattr("time.sleep", lambda seconds: seconds and looking.close())
        FileLock(path).close()


def test_a_link_is_not_followed_and_a_pipe_not_waited_for(tmp_path):
    precious = tmp_path / "precious.txt"
    precious.write_text("precious")
    (tmp_path / "link").symlink_to(precious)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="'link' is a symbolic link"):
        FileLock(tmp_path / "link")
    with pytest.raises(OSError, match="'link' is a symbolic link"):
        holder(tmp_path / "link")
    with pytest.raises(OSError, match="'pipe' is not the kind of file"):
        FileLock(tmp_path / "pipe")
    assert precious.read_text() == "precious"


def test_a_lock_without_references_is_free(tmp_path):
    with pytest.warns(ResourceWarning):
        FileLock(tmp_path / "lock")
        gc.collect()
    FileLock(tmp_path / "lock").close()


def test_closing_twice_lets_the_next_holder_be(tmp_path):
    first = FileLock(tmp_path / "lock")
    first.close()
    with FileLock(tmp_path / "lock"):
        first.close()
        with pytest.raises(StoreLockedError):
            FileLock(tmp_path / "lock")


def test_a_child_that_outlives_its_parent_does_not_hold_it(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("""
import os, sys, time
from pathlib import Path
from proxyhpo._store.lock import FileLock
os.setsid()
lock = FileLock(Path(sys.argv[1]))
if os.fork() == 0:
    time.sleep(1000)
print("ready", flush=True)
os.kill(os.getpid(), 9)
""")
    with scripts.start(script, tmp_path / "lock") as parent:
        assert parent.stdout.readline() == "ready\n"
        parent.wait()
        try:
            FileLock(tmp_path / "lock").close()
        finally:
            os.killpg(parent.pid, signal.SIGKILL)
