"""Workers end with the process of their study, whatever they are doing at that moment."""

import os
import signal
import subprocess
import sys

import pytest

from proxyhpo.executors._worker_process import START
from tests.waiting import is_alive, wait_until, wait_until_gone

WORKER = """
import pathlib, time
def main():
    pathlib.Path("started").touch()
    time.sleep(10_000)
"""


@pytest.mark.parametrize(
    ("worker", "is_stopped"),
    [(WORKER + "main()", False), (WORKER, False), (WORKER, True)],
    ids=["while it imports", "while it trains", "while it is stopped"],
)
def test_a_worker_ends_with_its_study(worker, is_stopped, tmp_path):
    (tmp_path / "proxyhpo").mkdir()
    (tmp_path / "proxyhpo" / "__init__.py").touch()
    (tmp_path / "proxyhpo" / "_worker.py").write_text(worker)
    if (study := os.fork()) == 0:
        command = [sys.executable, "-c", START, "0", "0", str(os.getpid())]
        process = subprocess.Popen(command, cwd=tmp_path, start_new_session=True)
        (tmp_path / "pid").write_text(str(process.pid))
        wait_until((tmp_path / "started").exists)
        if is_stopped:
            process.send_signal(signal.SIGSTOP)
        os.kill(os.getpid(), signal.SIGKILL)
    assert os.waitpid(study, 0)[1] == signal.SIGKILL
    pid = int((tmp_path / "pid").read_text())
    try:
        wait_until_gone(pid)
    finally:
        if is_alive(pid):
            os.kill(pid, signal.SIGKILL)
