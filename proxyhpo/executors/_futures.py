"""Runs trainings through any executor of the kind that ``concurrent.futures`` defines."""

from __future__ import annotations

import functools
import logging
import math
import threading
import time
import uuid
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    CancelledError,
    Future,
    ThreadPoolExecutor,
    wait,
)
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from proxyhpo._runs import Died, Ended, Finished
from proxyhpo._validation import check_whole
from proxyhpo.errors import ArgumentError, ExecutorError, one_line
from proxyhpo.executors._shipping import pack, tune_torch, unpack

if TYPE_CHECKING:
    from proxyhpo._runs import Hear, Job, Outcome, RunId, Work

__all__ = ["FuturesExecutor"]

logger = logging.getLogger("proxyhpo")

_POLL_SECONDS = 0.5
_one_at_a_time = threading.Lock()


class FuturesExecutor:
    """Hands each training to an executor with a ``submit`` that returns a future.

    Such as a ``ProcessPoolExecutor``, Dask's ``client.get_executor()``, mpi4py's
    ``MPIPoolExecutor``, or one of submitit for Slurm, whose jobs are not quite futures and are
    asked twice a second. It stays the caller's: shutting it down is not done here.

    What futures cannot do: reports do not arrive while a training runs, so stoppers are refused.
    No training is limited in time. A training that is still running when the study ends (at a
    ``timeout``, or at the second Ctrl-C) is ended only where the library's ``cancel`` does that, as
    submitit's does. A crash breaks a ``ProcessPoolExecutor`` for good, and the study with it, which
    can be resumed from its store. :class:`~proxyhpo.executors.ProcessExecutor` and
    :class:`~proxyhpo.executors.RayExecutor` can do all of this.

    The functions of the study, with the data that they hold, travel with each job: load large
    data where it is used, and not where the functions are defined.

    Args:
        executor: runs ``submit(function, *arguments)`` in other processes, one at a time in each.
        workers: how many trainings it runs at the same time.
        threads: of torch in each process.

    Raises:
        ArgumentError: if it cannot submit, or runs threads of this process, which share the
            global random state, so that nothing could be repeated.
    """

    streams = False
    ahead = 0

    def __init__(self, executor: Any, *, workers: int, threads: int = 1) -> None:
        if not callable(getattr(executor, "submit", None)):
            raise ArgumentError(f"executor must have a method submit, got {executor!r}")
        if isinstance(executor, ThreadPoolExecutor):
            raise ArgumentError(
                "executor must run trainings in other processes, got a ThreadPoolExecutor: its "
                "threads share one global random state"
            )
        self.capacity = check_whole("workers", workers, 1)
        self._executor = executor
        self._threads = check_whole("threads", threads, 1)
        self._packed = b""
        self._running: dict[RunId, _Submitted] = {}
        self._is_draining = False

    def start(self, work: Work, hear: Hear) -> None:  # noqa: ARG002 - no report arrives here
        """Packs what the trainings share.

        Raises:
            ArgumentError: if it cannot be sent to other processes.
        """
        self.shutdown()
        self._packed = pack(work)
        self._is_draining = False

    def submit(self, job: Job) -> None:
        """Submits a job.

        Raises:
            ExecutorError: if the executor is broken.
        """
        if self._is_draining:
            return
        try:
            # Dask takes calls that are alike for one, and would not run a training again.
            name = uuid.uuid4().hex
            future = self._executor.submit(_train, self._packed, job, self._threads, name)
        except BrokenExecutor as error:
            raise self._broken(error) from error
        self._running[job.id] = _Submitted(job, future)

    def wait_any(self, timeout: float | None = None) -> Ended | None:
        """The end of any job; None when time is up, or where there is no job.

        Raises:
            ExecutorError: if a process cannot load the work, or runs several trainings at once; or
                if the executor is broken. Which of the running trainings broke it is not known, so
                all of them run again when the study is resumed.
        """
        end = math.inf if timeout is None else time.monotonic() + timeout
        while self._running:
            if self._is_draining:
                self._take_back()
            for running in self._running.values():
                if running.future.done():
                    del self._running[running.job.id]
                    try:
                        return running.end()
                    except BrokenExecutor as error:
                        raise self._broken(error) from error
            left = end - time.monotonic()
            if left <= 0:
                return None
            self._wait(left)
        return None

    def drain(self) -> int:
        """Submits no more, and takes back what is known not to have begun."""
        self._is_draining = True
        return len(self._running)

    def shutdown(self) -> None:
        """Cancels every job; the executor remains as it is."""
        while self._running:
            _, running = self._running.popitem()
            running.cancel()
        self._packed = b""

    def _broken(self, error: BrokenExecutor) -> ExecutorError:
        return ExecutorError(
            f"{type(self._executor).__name__} is broken and takes no more jobs: "
            f"{one_line(error).rstrip('.')}. Give a new one and resume the study from its store"
        )

    def _take_back(self) -> None:
        """Cancels what waits, where that can be told from what runs.

        It can where some are said to run: a Future that can be cancelled beside them has not
        begun. Dask's can be while they run, and never say so; and submitit's are no Futures, and
        ``cancel`` ends a job that runs.
        """
        futures = {
            key: running.future
            for key, running in self._running.items()
            if isinstance(running.future, Future)
        }
        if any(future.running() for future in futures.values()):
            for key, future in futures.items():
                if future.cancel():
                    del self._running[key]

    def _wait(self, seconds: float) -> None:
        futures = [running.future for running in self._running.values()]
        if all(isinstance(future, Future) for future in futures):
            wait(futures, None if seconds == math.inf else seconds, FIRST_COMPLETED)
        else:
            time.sleep(min(seconds, _POLL_SECONDS))


@dataclass(frozen=True)
class _Submitted:
    job: Job
    future: Any

    def cancel(self) -> None:
        """Cancels it; where that does not end a job that has begun, it is not heard of again."""
        try:
            self.future.cancel()
        except Exception as error:  # noqa: BLE001 - each library has its own
            logger.warning("could not cancel %s: %s", self.job.id.name, one_line(error))

    def end(self) -> Ended:
        """What came of it, now that it is done."""
        try:
            return Finished(self.job, self.future.result())
        except (ExecutorError, BrokenExecutor):
            raise
        except (Exception, CancelledError) as error:  # noqa: BLE001 - each library has its own
            # When it began is not known, and the time in a queue is no training.
            return Died(self.job, one_line(error), 0.0)


def _train(packed: bytes, job: Job, threads: int, _name: str) -> Outcome:
    """Does a job in a process of the executor; the name tells the call from all others."""
    if not _one_at_a_time.acquire(blocking=False):
        raise ExecutorError(
            "two trainings run at once in one process, as threads that share the global random "
            "state; let each worker process have one thread"
        )
    try:
        tune_torch(threads)
        return _load(packed).run(job)
    finally:
        _one_at_a_time.release()


@functools.lru_cache(maxsize=1)
def _load(packed: bytes) -> Work:
    return unpack(packed)
