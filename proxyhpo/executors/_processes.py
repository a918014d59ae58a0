"""Runs trainings in worker processes on this machine, which are reused and replaced if they die."""

from __future__ import annotations

import math
import os
import tempfile
import time
from collections import deque
from collections.abc import Sequence
from multiprocessing import connection
from typing import IO, TYPE_CHECKING, Literal

import torch

from proxyhpo._runs import Died, Ended, Finished, Outcome, Reported
from proxyhpo._validation import check_seconds, check_whole, suggesting
from proxyhpo.errors import ArgumentError, ExecutorError
from proxyhpo.executors._devices import automatic_workers, environments
from proxyhpo.executors._messages import ENDED, REPORTED, STARTED, UNUSABLE
from proxyhpo.executors._packing import Packing
from proxyhpo.executors._shipping import pack
from proxyhpo.executors._worker_process import WorkerProcess

if TYPE_CHECKING:
    from proxyhpo._runs import Hear, Job, Work

__all__ = ["ProcessExecutor"]

STARTS_TO_GIVE_UP = 3

START_SECONDS = 60.0
"""Minimum time limit in seconds for a worker to load the work, if trainings have a time limit."""


class ProcessExecutor:
    """Trains in worker processes that are started once and reused for many jobs.

    A worker takes a few seconds to start, because it imports torch. A job then has an overhead of
    about a millisecond. If a training crashes, is killed or times out, only its worker is lost: its
    memory and device are released, and a new worker replaces it. The functions of the study are
    sent once (see :func:`~proxyhpo.executors._shipping.pack`). Scripts need no
    ``if __name__ == "__main__"``, and notebooks work. Requires a POSIX system.

    Args:
        workers: number of processes. By default one for each of the ``devices``, or 2 if they are
            not given. ``"auto"`` means one per core on a CPU. On GPUs it starts with one for each
            device. During the first trials it doubles the number while throughput grows by 15 % and
            memory suffices, up to one per core. This depends on measured times, so such a study
            cannot be repeated exactly.
        threads: torch threads in each worker.
        devices: for example ``["cuda:0", "cuda:1"]``. Worker ``i`` only sees
            ``devices[i % len(devices)]``, as ``cuda:0``. With ``"cpu"`` it sees no GPU. By default
            every worker sees the same devices as the study.
        trial_timeout: seconds after which a training is killed and recorded as failed. A worker
            that has not started a training within that time (or a minute, if that is longer) is
            assumed to hang while it loads the study's functions, and is replaced. The third such
            worker in a row ends the study.
        grace: seconds that a stopped training may take until its next report. There it is closed,
            and its ``finally`` blocks run. After that time it is killed.
        ahead: how many jobs to queue for the next free worker. With 0, a worker is idle while the
            next config is proposed. With each queued job, the searcher knows one result less when
            it proposes a config.

    Raises:
        ArgumentError: for an invalid argument.
    """

    streams = True

    @suggesting
    def __init__(
        self,
        workers: int | Literal["auto"] | None = None,
        *,
        threads: int = 1,
        devices: Sequence[str | torch.device] | None = None,
        trial_timeout: float | None = None,
        grace: float = 10.0,
        ahead: int = 1,
    ) -> None:
        if os.name != "posix":
            raise ArgumentError("ProcessExecutor requires a POSIX system such as Linux or macOS")
        self._threads = check_whole("threads", threads, 1)
        self._packing: Packing | None = None
        if workers == "auto":
            devices, most = automatic_workers(devices, self._threads)
            workers = most * len(devices)
            if "cpu" not in devices:
                self._packing = Packing(devices, most)
        elif isinstance(workers, str):
            raise ArgumentError(f"workers must be a whole number or 'auto', got {workers!r}")
        elif workers is not None:
            workers = check_whole("workers", workers, 1)
        self.ahead = check_whole("ahead", ahead, 0)
        if trial_timeout is not None:
            trial_timeout = check_seconds("trial_timeout", trial_timeout)
        self._environments = environments(devices, workers)
        self._trial_timeout = trial_timeout
        self._grace = check_seconds("grace", grace)
        self._workers: list[WorkerProcess | None] = []
        self._queue: deque[Job] = deque()
        self._ends: deque[Ended] = deque()
        self._failed_starts = 0
        self._is_draining = False

    @property
    def capacity(self) -> int:
        """How many jobs run at the same time. With ``workers="auto"`` it grows during a study."""
        return len(self._environments) if self._packing is None else self._packing.capacity

    def start(self, work: Work, hear: Hear) -> None:
        """Starts the workers, which read the work from a file.

        Raises:
            ArgumentError: if the work cannot be sent to other processes.
        """
        self.shutdown()
        packed = pack(work)
        if self._packing is not None:
            self._packing.start()
        self._hear = hear
        # An unnamed file is removed with this process, and no other process can write to it.
        self._work_file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - shutdown closes it
        self._work_file.write(packed)
        self._work_file.flush()
        self._failed_starts = 0
        self._is_draining = False
        self._workers = [None] * len(self._environments)
        for place in range(self.capacity):
            self._start_worker(place)

    def submit(self, job: Job) -> None:
        """Gives the job to a free worker, or queues it."""
        self._queue.append(job)
        self._dispatch()

    def wait_any(self, timeout: float | None = None) -> Ended | None:
        """The end of any job; None after ``timeout`` seconds or if there is no job.

        Raises:
            ExecutorError: if the workers cannot load the work, or die or hang before any training
                starts.
        """
        end = None if timeout is None else time.monotonic() + timeout
        while not self._ends and (self._busy() or (self._queue and not self._is_draining)):
            left = None if end is None else max(0.0, end - time.monotonic())
            self._listen(left)
            if left == 0:
                break
        return self._ends.popleft() if self._ends else None

    def drain(self) -> int:
        """Gives the workers no more jobs."""
        self._is_draining = True
        return len(self._busy())

    def shutdown(self) -> None:
        """Closes every training, and kills those that have not ended after the grace time."""
        if not self._workers:
            return
        workers, self._workers = [worker for worker in self._workers if worker is not None], []
        self._queue.clear()
        self._ends.clear()
        end = time.monotonic() + self._grace
        try:
            for worker in workers:
                worker.close()
            for worker in workers:
                worker.bury(end - time.monotonic())
        finally:  # also at a second Ctrl-C
            for worker in workers:
                worker.kill()
            self._work_file.close()

    @property
    def _start_limit(self) -> float | None:
        limit = self._trial_timeout
        return None if limit is None else max(limit, START_SECONDS)

    def _busy(self) -> list[WorkerProcess]:
        return [worker for worker in self._workers if worker is not None and worker.job is not None]

    def _start_worker(self, place: int) -> WorkerProcess:
        worker = WorkerProcess(
            self._work_file.fileno(), threads=self._threads, environment=self._environments[place]
        )
        self._workers[place] = worker
        return worker

    def _dispatch(self) -> None:
        """Gives jobs to free workers, and starts workers that are missing."""
        if self._is_draining:
            return
        places = range(self.capacity)
        for place in sorted(places, key=lambda place: self._workers[place] is None):
            worker = self._workers[place]
            is_free = worker is None or worker.job is None
            if self._queue and is_free and self._fits(place, self._queue[0]):
                worker = worker or self._start_worker(place)
                worker.give(self._queue.popleft(), self._start_limit)
        self._retire(self._workers[self.capacity :])

    def _fits(self, place: int, job: Job) -> bool:
        """Whether the job may start on this worker. If not, later jobs wait, too."""
        if self._packing is None:
            return True
        own = self._environments[place]
        others = [
            worker.job.id
            for worker, environment in zip(self._workers, self._environments, strict=True)
            if environment == own and worker is not None and worker.job is not None
        ]
        return self._packing.fits(place, job.id, others)

    def _retire(self, workers: Sequence[WorkerProcess | None]) -> None:
        """Ends the workers that have no job."""
        for worker in workers:
            if worker is not None and worker.job is None:
                self._workers[self._workers.index(worker)] = None
                worker.close()
                worker.bury()

    def _listen(self, timeout: float | None) -> None:
        """Waits for a message, a death or a deadline, and handles it."""
        workers = {worker.connection: worker for worker in self._workers if worker is not None}
        deadline = min((worker.deadline for worker in workers.values()), default=math.inf)
        seconds = min(math.inf if timeout is None else timeout, deadline - time.monotonic())
        for ready in connection.wait(workers, None if seconds == math.inf else max(0.0, seconds)):
            assert isinstance(ready, connection.Connection)
            self._receive(workers[ready])
        for worker in workers.values():
            if worker.deadline <= time.monotonic():
                worker.expire()
        self._dispatch()

    def _receive(self, worker: WorkerProcess) -> None:
        try:
            word, content = worker.receive()
        except EOFError:
            self._bury(worker)
            return
        if word == UNUSABLE:
            raise content[0]
        if word == STARTED:
            self._failed_starts = 0
            worker.started(self._trial_timeout)
        elif word == REPORTED:
            self._take_report(worker, *content)
        elif word == ENDED:
            was_stopped, job = worker.stopping, worker.ended()
            if not was_stopped:
                self._ends.append(Finished(job, *content))

    def _take_report(self, worker: WorkerProcess, reported: Reported) -> None:
        if worker.stopping or worker.job is None:
            return
        worker.heard.append(reported)
        if self._packing is not None:
            running = [busy.job.id for busy in self._busy() if busy.job is not None]
            self._packing.report(self._workers.index(worker), worker.job.id, running)
        if self._hear(worker.job, reported):
            self._ends.append(Finished(worker.job, Outcome.of_stopped(worker.heard)))
            worker.stop(self._grace)

    def _bury(self, worker: WorkerProcess) -> None:
        self._workers[self._workers.index(worker)] = None
        reason = worker.bury()
        if worker.job is None or worker.stopping:
            return
        if worker.started_at is not None:
            self._ends.append(Died(worker.job, reason, worker.seconds))
            return
        self._queue.appendleft(worker.job)  # its training had not started
        self._failed_starts += 1
        if self._failed_starts >= STARTS_TO_GIVE_UP:
            raise ExecutorError(
                f"{self._failed_starts} workers in a row died before a training began. {reason}"
            )
