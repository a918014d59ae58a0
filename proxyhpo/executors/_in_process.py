"""Runs trainings one after the other in the study's own process: the default."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from proxyhpo._runs import Finished

if TYPE_CHECKING:
    from proxyhpo._runs import Ended, Hear, Job, Work

__all__ = ["InProcessExecutor"]


class InProcessExecutor:
    """Trains one job at a time, from its begin to its end, while the study waits for it."""

    capacity = 1
    ahead = 0
    streams = True

    def __init__(self) -> None:
        self._queue: deque[Job] = deque()
        self._is_training = False
        self._is_draining = False

    def start(self, work: Work, hear: Hear) -> None:
        """Remembers what the trainings share, and who hears their reports."""
        self._work = work
        self._hear = hear
        self._is_draining = False

    def submit(self, job: Job) -> None:
        """Queues a job."""
        self._queue.append(job)

    def wait_any(self, timeout: float | None = None) -> Ended | None:  # noqa: ARG002 - a training here ends by what it reports, not by waiting
        """Trains the oldest job to its end; None where there is none."""
        if not self._queue or self._is_draining:
            return None
        job = self._queue.popleft()
        self._is_training = True
        try:
            return Finished(job, self._work.run(job, self._hear))
        finally:
            self._is_training = False

    def drain(self) -> int:
        """Lets the training that runs end, and begins none of those queued."""
        self._is_draining = True
        return int(self._is_training)

    def shutdown(self) -> None:
        """Forgets what is queued; nothing runs while no one waits for it."""
        self._queue.clear()
