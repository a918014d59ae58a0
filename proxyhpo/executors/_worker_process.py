"""A worker process as its study sees it: started, given jobs, heard, and ended."""

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

__all__ = ["WorkerProcess"]


class WorkerProcess:
    """One worker process, and the job it has.

    Args:
        work_file: descriptor of the file that holds the packed work, by the time of the first job.
        threads: of torch.
        environment: of the process, beside what it inherits.
    """

    def __init__(self, work_file: int, *, threads: int, environment: Mapping[str, str]) -> None:
        self.job: Job | None
        self.started_at: float | None
        self._has_trained = False
        self.connection, theirs = Pipe()
        with theirs:
            command = [sys.executable, "-m", "proxyhpo._worker"]
            command += map(str, (theirs.fileno(), work_file, os.getpid()))
            self._process = subprocess.Popen(  # noqa: S603 - our own module, in this Python
                command,
                pass_fds=(theirs.fileno(), work_file),
                stdin=subprocess.DEVNULL,  # a training that waits for input would hang
                cwd=_starting_directory(),
                env={**os.environ, "OMP_NUM_THREADS": str(threads), **environment},
                start_new_session=True,  # Ctrl-C does not reach it, and its children end with it
            )
        self._send(WorkerSetup(path=sys.path, directory=os.getcwd(), threads=threads))  # noqa: PTH109 - a str travels
        self._free()

    @property
    def seconds(self) -> float:
        """Since the training began."""
        return 0.0 if self.started_at is None else time.monotonic() - self.started_at

    def give(self, job: Job, limit: float | None) -> None:
        """Sends a job, which must begin within ``limit`` seconds; the worker must have none."""
        assert self.job is None, "a worker has one job at a time"
        self.job = job
        if limit is not None:
            self.deadline = time.monotonic() + limit
            self._late = (
                f"it began no training within {limit:g} s: does loading the functions of the study "
                "hang?"
            )
        self._send(job)

    def receive(self) -> tuple[str, tuple[Any, ...]]:
        """The next message, as (word, what it says).

        Raises:
            EOFError: when the worker is gone.
        """
        try:
            word, *rest = pickle.loads(self.connection.recv_bytes())  # noqa: S301 - our own worker
        except OSError as error:  # a reset, or an end in the middle of a message
            raise EOFError from error
        return word, tuple(rest)

    def started(self, limit: float | None) -> None:
        """The training has begun, and may take ``limit`` seconds."""
        self.started_at = time.monotonic()
        self._has_trained = True
        if limit is not None and not self.stopping:
            self.deadline = self.started_at + limit
            self._late = f"timed out after {limit:g} s"

    def stop(self, grace: float) -> None:
        """Asks for the end of the training, which may take ``grace`` seconds."""
        self.stopping = True
        self.deadline = time.monotonic() + grace
        self._send(STOP)

    def ended(self) -> Job:
        """The job has ended, and the worker is free."""
        job = self.job
        assert job is not None, "only a job can end"
        self._free()
        return job

    def expire(self) -> None:
        """Kills the process at its deadline; what it said before can still be received."""
        self.deadline = math.inf
        self._verdict = self._late
        self.kill()

    def kill(self) -> None:
        """Kills the process and what its trainings have started."""
        # The id is not another's: the process has just been alive, or its group still is.
        with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS: of a zombie
            os.killpg(self._process.pid, signal.SIGKILL)

    def close(self) -> None:
        """Says that there will be no more jobs; a training that runs is closed."""
        self.connection.close()
        if not self._has_trained:  # it may still be importing torch, and has nothing to close
            self.kill()

    def bury(self, patience: float = 1.0) -> str:
        """Gives everything back once the worker is gone, and tells why it went.

        Args:
            patience: seconds for a process that has closed the connection to end by itself.
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
        with contextlib.suppress(OSError):  # it is gone, which receive() will tell
            self.connection.send_bytes(pickle.dumps(message))


def _starting_directory() -> Path:
    """From where ``python -m`` finds this package, however it was found here.

    That directory comes first in the path of modules, which is no place for ``site-packages``:
    there lie backports that would hide modules of the standard library.
    """
    root = Path(proxyhpo.__file__).parents[1]
    return Path(root.anchor) if root.name in {"site-packages", "dist-packages"} else root


def _cause(code: int) -> str:
    if code >= 0:
        return f"the worker exited with code {code}"
    name = signal.Signals(-code).name
    hint = " (out of memory, perhaps)" if name == "SIGKILL" else ""
    return f"the worker was killed by {name}{hint}"
