"""The callback that follows a study and regularly passes its status to a display."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from typing_extensions import override

from proxyhpo._engine.limits import Limits
from proxyhpo._progress.displays import Bar, Display, Lines
from proxyhpo._progress.panel import Panel, is_notebook
from proxyhpo._progress.status import Status, duration_words, status_of
from proxyhpo._records.records import Record
from proxyhpo._records.report import Report
from proxyhpo._report.result import Result
from proxyhpo._runs import RunId
from proxyhpo.callbacks import Callback, Training
from proxyhpo.errors import one_line

if TYPE_CHECKING:
    from proxyhpo._engine.study import Study

__all__ = ["Progress"]

logger = logging.getLogger("proxyhpo")


class Progress(Callback):
    """Shows the progress of a run; a display that fails is dropped, and the run continues.

    Args:
        study: the study that runs.
        result: returns what is known so far.
        limits: of the run.
        workers: number of trainings that run at the same time.
        display: by default a panel in a notebook, a bar in a terminal, and lines elsewhere.
    """

    def __init__(
        self,
        study: Study,
        result: Callable[[], Result],
        limits: Limits,
        workers: int,
        display: Display | None = None,
    ) -> None:
        self._study = study
        self._limits = limits
        self._workers = workers
        self._began = time.monotonic()
        self._running: dict[RunId, float] = {}
        self._next = 0.0
        self._display: Display | None = None
        try:
            self._display = display or _display(result)
            self._show()
        except Exception as error:  # noqa: BLE001 - see _drop
            self._drop(error)

    @override
    def on_training_start(self, training: Training) -> None:
        self._running[_id(training)] = time.monotonic()
        self._show_if_due()

    @override
    def on_report(self, training: Training, report: Report, step: int) -> None:
        self._show_if_due()

    @override
    def on_training_end(self, training: Training, record: Record) -> None:
        self._running.pop(_id(training), None)
        self._show_if_due()

    @override
    def on_training_interrupted(self, training: Training, reason: str) -> None:
        self._running.pop(_id(training), None)
        self._show_if_due()

    def close(self, *, interrupted: bool = False) -> None:
        """Shows the last status, which stays.

        Args:
            interrupted: whether a signal or an error ended the run.
        """
        display = self._display
        if display is None:
            return
        try:
            how = "interrupted" if interrupted else "ended"
            elapsed = duration_words(time.monotonic() - self._began)
            display.close(self._status(), f"{how} after {elapsed}")
        except Exception as error:  # noqa: BLE001 - see _drop
            self._drop(error)

    def _show_if_due(self) -> None:
        if self._display is None or time.monotonic() < self._next:
            return
        try:
            self._show()
        except Exception as error:  # noqa: BLE001 - see _drop
            self._drop(error)

    def _show(self) -> None:
        assert self._display is not None, "a display that failed is not asked again"
        self._display.show(self._status())
        now = time.monotonic()
        self._next = now + self._display.interval(now - self._began)

    def _status(self) -> Status:
        now = time.monotonic()
        started = {run: now - since for run, since in self._running.items()}
        timeout = self._limits.timeout
        time_limit = None if timeout is None else max(0.0, self._began + timeout - now)
        return status_of(self._study, self._limits.n_trials, started, self._workers, time_limit)

    def _drop(self, error: Exception) -> None:
        """A closed terminal, a broken pipe or a full disk must not end the study."""
        self._display = None
        logger.warning("progress is no longer shown: %s", one_line(error))


def _id(training: Training) -> RunId:
    return RunId(training.trial, training.rung, training.replicate)


def _display(result: Callable[[], Result]) -> Display:
    if is_notebook():
        return Panel(result)
    return Bar() if sys.stderr.isatty() else Lines()
