"""Waiting for other processes."""

import time
from pathlib import Path

PATIENCE = 240  # seconds; a busy machine may need many


def wait_until(condition):
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it has not happened in time"
        time.sleep(0.02)


def wait_until_gone(*pids):
    wait_until(lambda: not any(map(is_alive, pids)))


def is_alive(pid):
    """Whether a process runs on Linux; one that has ended and is not yet reaped does not."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] != "Z"
