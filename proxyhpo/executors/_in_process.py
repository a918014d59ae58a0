"""Runs trainings one at a time in the study's own process; the default."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from proxyhpo._runs import Finished

if TYPE_CHECKING:
    from proxyhpo._runs import Ended, Hear, Job, Work

__all__ = ["InProcessExecutor"]


class InProcessExecutor:
    """Runs one job at a time, while the study waits for it."""

    capacity = 1
    ahead = 0
    streams = True

    def __init__(self) -> None:
        self._queue: deque[Job] = deque()
        self._is_training = False
        self._is_draining = False

    def start(self, work: Work, hear: Hear) -> None:
        """Keeps what the trainings share, and the listener for their reports."""
        self._work = work
        self._hear = hear
        self._is_draining = False

    def submit(self, job: Job) -> None:
        """Queues a job."""
        self._queue.append(job)

    def wait_any(self, timeout: float | None = None) -> Ended | None:  # noqa: ARG002 - the time limit is checked at each report
        """Runs the oldest job to its end; None if there is none."""
        if not self._queue or self._is_draining:
            return None
        job = self._queue.popleft()
        self._is_training = True
        try:
            return Finished(job, self._work.run(job, self._hear))
        finally:
            self._is_training = False

    def drain(self) -> int:
        """Starts none of the queued jobs. The running training finishes."""
        self._is_draining = True
        return int(self._is_training)

    def shutdown(self) -> None:
        """Drops the queued jobs. Nothing else runs at this time."""
        self._queue.clear()
