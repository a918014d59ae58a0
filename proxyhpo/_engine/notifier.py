"""Calls the callbacks of a study. A callback cannot end or change the study."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Sequence
from typing import Any, final

from typing_extensions import override

from proxyhpo._records.records import Record
from proxyhpo._records.report import Report
from proxyhpo._runs import Job, RunId
from proxyhpo._seeding import preserved_random_state
from proxyhpo.callbacks._interface import AnyCallback, Callback, Training

__all__ = ["Notifier"]

logger = logging.getLogger("proxyhpo")


class Notifier:
    """Notifies callbacks of the trainings that start, report and end.

    Args:
        callbacks: each gets its own copies of the arguments.
    """

    def __init__(self, callbacks: Sequence[AnyCallback] = ()) -> None:
        self._callbacks = [
            given if isinstance(given, Callback) else _OfRecords(given) for given in callbacks
        ]
        self._running: dict[RunId, Training] = {}
        self._heard: dict[RunId, int] = {}

    def start(self, job: Job) -> None:
        """Called when a training was given to the executor."""
        training = Training(
            trial=job.id.trial,
            rung=job.id.rung,
            replicate=job.id.replicate,
            name=job.id.name,
            density=job.density,
            budget=job.budget,
            config=job.config,
            trained_config=job.trained_config,
        )
        self._running[job.id] = training
        self._heard[job.id] = 0
        self._call("on_training_start", training)

    def report(self, job: Job, report: Report) -> None:
        """Called when a training has reported."""
        self._heard[job.id] += 1
        self._call("on_report", self._running[job.id], report, self._heard[job.id])

    def end(self, job: Job, record: Record) -> None:
        """Called when a training has ended. Passes on the reports that did not arrive before."""
        for report in record.reports[self._heard[job.id] :]:
            self.report(job, report)
        self._call("on_training_end", self._forget(job.id), record)

    def interrupt(self, job: Job, reason: str) -> None:
        """Called when a training has ended without a record."""
        self._call("on_training_interrupted", self._forget(job.id), reason)

    def _forget(self, run: RunId) -> Training:
        del self._heard[run]
        return self._running.pop(run)

    def _call(self, method: str, *arguments: Any) -> None:
        for callback in self._callbacks:
            if getattr(type(callback), method) is getattr(Callback, method):
                continue  # not overridden; skipped since there are many reports
            call: Callable[..., None] = getattr(callback, method)
            try:
                with preserved_random_state():
                    call(*copy.deepcopy(arguments))
            except Exception:
                logger.exception("callback %r failed in %s; the study continues", callback, method)


@final
class _OfRecords(Callback):
    """A function that is called with every new record."""

    def __init__(self, function: Callable[[Record], object]) -> None:
        self._function = function

    @override
    def on_training_end(self, training: Training, record: Record) -> None:
        self._function(record)

    @override
    def __repr__(self) -> str:
        return repr(self._function)
