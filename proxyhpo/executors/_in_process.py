"""Runs trainings one after the other in the study's own process: the default."""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Generator
from typing import TYPE_CHECKING

from proxyhpo.executors._interface import Event, Finished, Reported

if TYPE_CHECKING:
    from proxyhpo._engine.work import Job, Outcome, Work
    from proxyhpo._records.records import Report

    _Run = Generator[tuple[Report, float, float], None, Outcome]

__all__ = ["InProcessExecutor"]


class InProcessExecutor:
    """One training at a time, advanced by a report whenever somebody waits."""

    capacity = 1
    ahead = 0
    streams = True

    def __init__(self) -> None:
        self._work: Work | None = None
        self._running: deque[tuple[Job, _Run]] = deque()
        self._is_draining = False

    def start(self, work: Work) -> None:
        """Remembers what the trainings share."""
        self._work = work
        self._is_draining = False

    def submit(self, job: Job) -> None:
        """Queues a job; it advances while somebody waits."""
        assert self._work is not None, "start() comes first"
        self._running.append((job, self._work.run(job)))

    def wait_any(self, timeout: float | None = None) -> Event | None:  # noqa: ARG002 - a training here cannot be waited for with a limit
        """Trains until the next report or the end of the oldest job; None where there is none."""
        if not self._running:
            return None
        job, run = self._running[0]
        if self._is_draining and not _has_begun(run):
            return None
        try:
            reported = next(run)
        except StopIteration as end:
            self._running.popleft()
            return Finished(job, end.value)
        return Reported(job, *reported)

    def stop(self, job: Job) -> None:
        """Closes the training's generator, so that its ``finally`` runs."""
        for entry in [entry for entry in self._running if entry[0] == job]:
            self._running.remove(entry)
            entry[1].close()

    def drain(self) -> int:
        """Ends the training that goes on, and begins none of those queued."""
        self._is_draining = True
        return sum(_has_begun(run) for _, run in self._running)

    def shutdown(self) -> None:
        """Closes every training."""
        while self._running:
            self._running.popleft()[1].close()
        self._work = None


def _has_begun(run: _Run) -> bool:
    return inspect.getgeneratorstate(run) != inspect.GEN_CREATED
