"""A worker process as seen by its study: started, given jobs, and ended."""

from __future__ import annotations

import contextlib
import math
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from multiprocessing import Pipe
from pathlib import Path
from typing import TYPE_CHECKING, Any

import proxyhpo
from proxyhpo.executors._messages import STOP, WorkerSetup

if TYPE_CHECKING:
    from proxyhpo._runs import Job, Reported

__all__ = ["START", "WorkerProcess"]

START = """
import ctypes, os, signal, sys, threading, time

def end_with(study):
    while os.getppid() == study:
        time.sleep(0.5)
    os.killpg(os.getpid(), signal.SIGKILL)

study = int(sys.argv[3])
threading.Thread(target=end_with, args=(study,), daemon=True).start()
if sys.platform == "linux":
    PR_SET_PDEATHSIG = 1
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGCONT)

from proxyhpo._worker import main
main()
"""
"""The program of a worker. First of all, it makes sure that the worker ends with its study.

When the study's process has ended, a thread kills the worker and all processes that its trainings
have started. It is a thread because a training may not report for hours.

Linux can send a signal to a process whose parent dies. A kill signal would not do: Linux sends it
when the *thread* that started the worker ends, and the children of the training would stay alive.
So the signal is SIGCONT. It continues a worker that was stopped (SIGSTOP), so that its thread can
kill it.
"""


class WorkerProcess:
    """One worker process and its current job.

    Args:
        work_file: descriptor of the file with the packed work, which must be written before the
            first job.
        threads: torch threads.
        environment: variables of the process, in addition to the inherited ones.
    """

    def __init__(self, work_file: int, *, threads: int, environment: Mapping[str, str]) -> None:
        self.job: Job | None
        self.started_at: float | None
        self._has_trained = False
        self.connection, theirs = Pipe()
        with theirs:
            command = [sys.executable, "-c", START]
            command += map(str, (theirs.fileno(), work_file, os.getpid()))
            self._process = subprocess.Popen(  # noqa: S603 - our own module, in this Python
                command,
                pass_fds=(theirs.fileno(), work_file),
                stdin=subprocess.DEVNULL,  # otherwise a training that reads input would hang
                cwd=_starting_directory(),
                env={**os.environ, "OMP_NUM_THREADS": str(threads), **environment},
                start_new_session=True,  # no Ctrl-C reaches it; its children end with it
            )
        self._send(WorkerSetup(path=sys.path, directory=os.getcwd(), threads=threads))  # noqa: PTH109 - a str travels
        self._free()

    @property
    def seconds(self) -> float:
        """Seconds since the training started."""
        return 0.0 if self.started_at is None else time.monotonic() - self.started_at

    def give(self, job: Job, limit: float | None) -> None:
        """Sends a job to an idle worker. The job must start within ``limit`` seconds."""
        assert self.job is None, "a worker has one job at a time"
        self.job = job
        if limit is not None:
            self.deadline = time.monotonic() + limit
            self._late = (
                f"it started no training within {limit:g} s: does loading the functions of "
                "the study hang?"
            )
        self._send(job)

    def receive(self) -> tuple[str, tuple[Any, ...]]:
        """The next message, as (type, content).

        Raises:
            EOFError: if the worker has ended.
        """
        try:
            word, *rest = pickle.loads(self.connection.recv_bytes())  # noqa: S301 - our own worker
        except OSError as error:  # connection reset, or a truncated message
            raise EOFError from error
        return word, tuple(rest)

    def started(self, limit: float | None) -> None:
        """Records that the training started. It may take ``limit`` seconds."""
        self.started_at = time.monotonic()
        self._has_trained = True
        if limit is not None and not self.stopping:
            self.deadline = self.started_at + limit
            self._late = f"timed out after {limit:g} s"

    def stop(self, grace: float) -> None:
        """Asks the training to end, which may take ``grace`` seconds."""
        self.stopping = True
        self.deadline = time.monotonic() + grace
        self._send(STOP)

    def ended(self) -> Job:
        """Records that the job ended and returns it. The worker is free again."""
        job = self.job
        assert job is not None, "only a job can end"
        self._free()
        return job

    def expire(self) -> None:
        """Kills the process at its deadline. Messages sent before can still be received."""
        self.deadline = math.inf
        self._verdict = self._late
        self.kill()

    def kill(self) -> None:
        """Kills the process and all processes that its trainings have started."""
        # The id was not reused: the process was alive just now, or its group still is.
        with contextlib.suppress(ProcessLookupError, PermissionError):  # zombies on macOS
            os.killpg(self._process.pid, signal.SIGKILL)

    def close(self) -> None:
        """Tells the worker that no more jobs come. A running training is closed."""
        self.connection.close()
        if not self._has_trained:  # it may still be importing torch
            self.kill()

    def bury(self, patience: float = 1.0) -> str:
        """Releases everything once the worker has ended, and returns the reason.

        Args:
            patience: seconds to wait for a process that has closed the connection.
        """
        self.connection.close()
        try:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(max(0.0, patience))
        finally:
            self.kill()
            self._process.wait()
        return self._verdict or _cause(self._process.returncode)

    def _free(self) -> None:
        self.job = None
        self.heard: list[Reported] = []
        self.stopping = False
        self.started_at = None
        self.deadline = math.inf
        self._late = self._verdict = ""

    def _send(self, message: object) -> None:
        with contextlib.suppress(OSError):  # it has ended, which receive() reports
            self.connection.send_bytes(pickle.dumps(message))


def _starting_directory() -> Path:
    """The directory from which ``python -c`` finds this package.

    That directory comes first in the module search path. It must not be ``site-packages``, where
    backports would hide modules of the standard library.
    """
    root = Path(proxyhpo.__file__).parents[1]
    return Path(root.anchor) if root.name in {"site-packages", "dist-packages"} else root


def _cause(code: int) -> str:
    if code >= 0:
        return f"the worker exited with code {code}"
    name = signal.Signals(-code).name
    hint = " (possibly out of memory)" if name == "SIGKILL" else ""
    return f"the worker was killed by {name}{hint}"
