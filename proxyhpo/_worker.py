"""The worker process of a ``ProcessExecutor``.

It is started by :data:`~proxyhpo.executors._worker_process.START`. The arguments CONNECTION WORK
STUDY are two inherited file descriptors and the process id of the study. It never imports the
user's ``__main__``, so scripts need no ``if __name__ == "__main__"``. The connection is a socket
pair instead of standard output, since trainings print to standard output and may close it.
"""

from __future__ import annotations

import atexit
import contextlib
import faulthandler
import mmap
import os
import pickle
import signal
import sys
import traceback
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import Any

import torch

from proxyhpo._runs import Job, Outcome, Reported, Work
from proxyhpo.errors import ExecutorError, one_line
from proxyhpo.executors._messages import ENDED, REPORTED, STARTED, STOP, UNUSABLE, WorkerSetup
from proxyhpo.executors._shipping import tune_torch, unpack


class _OverError(BaseException):
    """Ends the worker: the study has ended, or this process is a forked child of a training."""


class _Worker:
    """Runs one job after the other."""

    def __init__(self, connection: Connection, work_file: int) -> None:
        self._connection = connection
        self._work_file = work_file
        self._work: Work | None = None
        self._process = os.getpid()

    def serve(self) -> None:
        """Runs jobs until the study closes the connection or ends."""
        while True:
            message = self._receive()
            if isinstance(message, Job):  # ignore a late STOP, whose job has just ended
                self._do(message)

    def _do(self, job: Job) -> None:
        if self._work is None:
            self._work = self._load()
        self._send(STARTED)
        with _tidied():
            answer = self._train(self._work, job)
        self._send_encoded(answer)

    def _load(self) -> Work:
        try:
            with mmap.mmap(self._work_file, 0, access=mmap.ACCESS_READ) as packed:
                return unpack(packed)
        except ExecutorError as error:
            self._send(UNUSABLE, error)
            raise _OverError from None

    def _train(self, work: Work, job: Job) -> bytes:
        """Runs a job and encodes the answer here, so that an encoding error fails only this job."""
        try:
            outcome = work.run(job, self._hear)
            return pickle.dumps((ENDED,) if outcome.stopped else (ENDED, outcome))
        except _OverError:
            raise
        except BaseException as error:  # noqa: BLE001 - a failed training, whatever it raised
            outcome = Outcome(reason=one_line(error), traceback=traceback.format_exc())
            return pickle.dumps((ENDED, outcome))

    def _hear(self, _job: Job, reported: Reported) -> bool:
        self._send(REPORTED, reported)
        return self._is_told_to_stop()

    def _is_told_to_stop(self) -> bool:
        with _over_if_broken():
            waiting = self._connection.poll()
        return waiting and self._receive() is STOP

    def _receive(self) -> Any:
        with _over_if_broken():
            data = self._connection.recv_bytes()
        return pickle.loads(data)  # noqa: S301 - from the study, over a connection of its own

    def _send(self, *message: Any) -> None:
        # Plain pickle, because the connection's pickler moves tensors into shared memory.
        self._send_encoded(pickle.dumps(message))

    def _send_encoded(self, data: bytes) -> None:
        if os.getpid() != self._process:
            raise _OverError
        with _over_if_broken():
            self._connection.send_bytes(data)


@contextlib.contextmanager
def _over_if_broken() -> Iterator[None]:
    try:
        yield
    except (EOFError, OSError):
        raise _OverError from None


@contextlib.contextmanager
def _tidied() -> Iterator[None]:
    """Restores what only a worker process has; the training restores the rest itself."""
    spares = {1: os.dup(1), 2: os.dup(2)}
    try:
        yield
    finally:
        tune_torch(torch.get_num_threads())
        for file, spare in spares.items():
            os.dup2(spare, file)
            os.close(spare)
        _open_streams()


def _open_streams() -> None:
    """Makes standard output and error usable and unbuffered, so that a crash loses no output."""
    for name, file in (("stdout", 1), ("stderr", 2)):
        stream = os.fdopen(file, "w", buffering=1, errors="backslashreplace", closefd=False)
        setattr(sys, name, stream)


def main() -> None:
    """Serves the study that started this process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the study handles Ctrl-C
    connection_file, work_file, _ = map(int, sys.argv[1:])
    for file in (connection_file, work_file):
        os.set_inheritable(file, False)
    process = os.getpid()
    connection = Connection(connection_file)
    # If a child kept the connection open, the study would not notice the worker's death.
    os.register_at_fork(after_in_child=connection.close)
    faulthandler.enable(os.dup(2))
    _open_streams()
    setup: WorkerSetup = pickle.loads(connection.recv_bytes())  # noqa: S301 - from the study
    sys.path[:] = setup.path
    os.chdir(setup.directory)
    tune_torch(setup.threads)
    with contextlib.suppress(_OverError):
        _Worker(connection, work_file).serve()
    if os.getpid() == process:  # not in a forked child of a training
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.killpg(process, signal.SIGTERM)  # processes left by trainings
    _leave()


def _leave() -> None:
    """Exits without the interpreter's cleanup, which takes a second once torch is loaded."""
    atexit._run_exitfuncs()  # noqa: SLF001 - there is no public name for it
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
