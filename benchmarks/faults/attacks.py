"""What the soak test does to a running study and to its store."""

from __future__ import annotations

import os
import random
import signal
import sys
from pathlib import Path

from benchmarks.faults.report import note
from benchmarks.faults.study import ENDINGS, victim

__all__ = ["Run", "attack"]


class Run:
    """A forked process that runs the study."""

    def __init__(self, folder: Path, *, in_workers: bool, has_output: bool = True) -> None:
        self.pid = os.fork()
        if self.pid == 0:
            victim(folder, in_workers=in_workers, has_output=has_output)
        self._code: int | None = None

    def code(self, *, wait: bool = False) -> int | None:
        """Its exit code, or minus the signal that ended it; None while it runs."""
        if self._code is None:
            ended, status = os.waitpid(self.pid, 0 if wait else os.WNOHANG)
            if ended:
                self._code = os.waitstatus_to_exitcode(status)
        return self._code


def attack(folder: Path, run: Run, chance: random.Random, *, is_open: bool) -> None:
    """Attacks a running study. Its store is attacked only when the run has opened it.

    If a store is deleted earlier, the run starts a new study, which is correct.
    """
    ending = chance.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
    on_store = chance.choice([delete, replace, run_twice])
    if chance.random() < 0.5:
        note(folder / "faults", f"study ended by {ending.name}")
        os.kill(run.pid, ending)
    elif is_open:
        note(folder / "faults", f"store: {on_store.__name__}")
        on_store(folder, run)


def delete(folder: Path, run: Run) -> None:
    """Moves the store away. The study must have written it again when it ends."""
    store, gone = folder / "study.db", folder / "gone.db"
    gone.unlink(missing_ok=True)
    store.rename(gone)
    run.code(wait=True)
    if not store.exists():  # the study had ended before
        gone.rename(store)
    gone.unlink(missing_ok=True)


def replace(folder: Path, run: Run) -> None:
    """Replaces the store by that of another study, which must not be changed."""
    store, gone, other = folder / "study.db", folder / "gone.db", folder / "other.db"
    content = b"not a study at all"
    other.write_bytes(content)
    gone.hardlink_to(store)
    other.replace(store)
    run.code(wait=True)
    if store.read_bytes() != content:
        sys.exit("the file that replaced the store was changed")
    rescued = folder / "study.db-rescued-1"
    (rescued if rescued.exists() else gone).replace(store)
    gone.unlink(missing_ok=True)


def run_twice(folder: Path, run: Run) -> None:
    """Removes the lock, and runs the same study in a second process at the same time."""
    (folder / "study.db-lock").unlink(missing_ok=True)
    second = Run(folder, in_workers=False)
    codes = run.code(wait=True), second.code(wait=True)
    if not set(codes) <= ENDINGS:
        sys.exit(f"two processes ended with {codes}:\n{(folder / 'log').read_text()}")
