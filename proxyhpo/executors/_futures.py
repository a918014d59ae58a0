"""Runs trainings through any executor with the interface of ``concurrent.futures``."""

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
from proxyhpo._validation import check_whole, suggesting
from proxyhpo.errors import ArgumentError, ExecutorError, one_line
from proxyhpo.executors._shipping import pack, tune_torch, unpack

if TYPE_CHECKING:
    from proxyhpo._runs import Hear, Job, Outcome, RunId, Work

__all__ = ["FuturesExecutor"]

logger = logging.getLogger("proxyhpo")

_POLL_SECONDS = 0.5
_one_at_a_time = threading.Lock()


class FuturesExecutor:
    """Submits each training to an executor whose ``submit`` returns a future.

    Examples are ``ProcessPoolExecutor``, Dask's ``client.get_executor()``, mpi4py's
    ``MPIPoolExecutor``, and submitit's executors for Slurm. The jobs of submitit are not standard
    futures, so they are polled twice a second. The executor is not shut down; this is left to the
    caller.

    Futures have the following limits, which :class:`~proxyhpo.executors.ProcessExecutor` and
    :class:`~proxyhpo.executors.RayExecutor` do not have:

    - Reports do not arrive while a training runs, so stoppers are rejected.
    - Trainings have no time limit.
    - A training that is running when the study ends (at a ``timeout``, or at the second Ctrl-C) is
      only ended if the library's ``cancel`` ends running jobs, as submitit's does.
    - A crash breaks a ``ProcessPoolExecutor`` permanently and ends the study, which can be resumed
      from its store.

    The functions of the study are sent with each job, together with any data that they refer to.
    Load large data inside the functions.

    Args:
        executor: runs ``submit(function, *arguments)`` in other processes, one call at a time in
            each of them.
        workers: how many trainings it runs at the same time.
        threads: torch threads in each process.

    Raises:
        ArgumentError: if it has no ``submit``, or if it runs threads of this process. These share
            the global random state, so results would not be repeatable.
    """

    streams = False
    ahead = 0

    @suggesting
    def __init__(self, executor: Any, *, workers: int, threads: int = 1) -> None:
        if not callable(getattr(executor, "submit", None)):
            raise ArgumentError(f"executor must have a method submit, got {executor!r}")
        if isinstance(executor, ThreadPoolExecutor):
            raise ArgumentError(
                "executor must run trainings in other processes, got a ThreadPoolExecutor, whose "
                "threads share one global random state"
            )
        self.capacity = check_whole("workers", workers, 1)
        self._executor = executor
        self._threads = check_whole("threads", threads, 1)
        self._packed = b""
        self._running: dict[RunId, _Submitted] = {}
        self._is_draining = False

    def start(self, work: Work, hear: Hear) -> None:  # noqa: ARG002 - no report arrives here
        """Pickles what the trainings share.

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
            # Dask caches identical calls and would not run a retried training again.
            name = uuid.uuid4().hex
            future = self._executor.submit(_train, self._packed, job, self._threads, name)
        except BrokenExecutor as error:
            raise self._broken(error) from error
        self._running[job.id] = _Submitted(job, future)

    def wait_any(self, timeout: float | None = None) -> Ended | None:
        """The end of any job; None after ``timeout`` seconds or if there is no job.

        Raises:
            ExecutorError: if a process cannot load the work or runs several trainings at once, or
                if the executor is broken. It is not known which training broke it, so all
                running trainings run again when the study is resumed.
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
        """Submits no more jobs, and cancels the ones that are known not to have started."""
        self._is_draining = True
        return len(self._running)

    def shutdown(self) -> None:
        """Cancels every job. The executor itself is not shut down."""
        while self._running:
            _, running = self._running.popitem()
            running.cancel()
        self._packed = b""

    def _broken(self, error: BrokenExecutor) -> ExecutorError:
        return ExecutorError(
            f"{type(self._executor).__name__} is broken and accepts no more jobs: "
            f"{one_line(error).rstrip('.')}. Create a new one and resume the study from its store"
        )

    def _take_back(self) -> None:
        """Cancels waiting jobs, if they can be distinguished from running ones.

        They can if the library marks some futures as running: a future that can be cancelled then
        has not started. Dask never marks futures as running, and can cancel running ones.
        submitit's jobs are not futures, and their ``cancel`` ends running jobs.
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
        """Cancels the job. If that does not end it, its outcome is ignored."""
        try:
            self.future.cancel()
        except Exception as error:  # noqa: BLE001 - each library has its own
            logger.warning("could not cancel %s: %s", self.job.id.name, one_line(error))

    def end(self) -> Ended:
        """The outcome of the job. It must be done."""
        try:
            return Finished(self.job, self.future.result())
        except (ExecutorError, BrokenExecutor):
            raise
        except (Exception, CancelledError) as error:  # noqa: BLE001 - each library has its own
            # The start time is unknown, and time in a queue must not count as training.
            return Died(self.job, one_line(error), 0.0)


def _train(packed: bytes, job: Job, threads: int, _name: str) -> Outcome:
    """Runs a job in a process of the executor. The name makes each call unique."""
    if not _one_at_a_time.acquire(blocking=False):
        raise ExecutorError(
            "two trainings run at once in one process, as threads that share the global random "
            "state; configure the worker processes with one thread each"
        )
    try:
        tune_torch(threads)
        return _load(packed).run(job)
    finally:
        _one_at_a_time.release()


@functools.lru_cache(maxsize=1)
def _load(packed: bytes) -> Work:
    return unpack(packed)
