"""The limits of a search: trials, budgets, and the expected worth of further trainings."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proxyhpo._runs import Job, RunId
from proxyhpo.executors import Executor

if TYPE_CHECKING:
    from proxyhpo._engine.study import Study

__all__ = ["Limits", "Remaining"]

logger = logging.getLogger("proxyhpo")

CAUTION = 1.25
"""Safety factor on predicted durations when there is a time limit or a budget."""


@dataclass(frozen=True)
class Limits:
    """The limits of a run.

    Args:
        n_trials: total number of trials.
        timeout: seconds from now. Part of it is reserved for the rungs above the first.
        base_trainings: budget of the whole study, in full trainings of the full network. Part of it
            is reserved in the same way, and no training starts once it is spent.
        worth: the smallest improvement of the value that one more base training must be expected to
            give.
        max_retries: how often a training is tried again after its worker died.
        ordered: decide on as many trainings as can run at a time, and wait for all of them before
            deciding on more. The study can then be repeated with the same number of workers.
    """

    n_trials: float
    timeout: float | None = None
    base_trainings: float | None = None
    worth: float | None = None
    max_retries: int = 0
    ordered: bool = False


class Remaining:
    """The remaining time, budget and trials. Ends the search early enough for the higher rungs."""

    def __init__(self, study: Study, limits: Limits, executor: Executor) -> None:
        self._study = study
        self._limits = limits
        self._executor = executor
        self._began = time.monotonic()
        self._has_closed = False
        self._is_final = False
        self._is_worthless = False

    @property
    def seconds(self) -> float | None:
        timeout = self._limits.timeout
        return None if timeout is None else max(0.0, self._began + timeout - time.monotonic())

    @property
    def is_up(self) -> bool:
        return self.seconds is not None and self.seconds <= 0

    @property
    def is_cut(self) -> bool:
        """Whether a budget ended the search before all requested trials."""
        entered, left = len(self._study.history.trials), self._budget_left()
        is_short = entered < self._limits.n_trials < math.inf
        is_spent = left is not None and left <= 0  # then nothing was decided on in this run
        return (self._has_closed or is_spent) and is_short and not self._is_worthless

    def decide_n_trials(self) -> float:
        """Decides whether to end the search, and returns the total number of trials allowed.

        A search that was closed only because of predicted times is opened again if the first
        training of the full network shows that enough is left.
        """
        if not self._is_final:
            self._has_closed = self._decide_whether_to_close()
            self._is_final = self._has_closed and self._study.outlook.timing.is_measured
            if self._is_final and self._is_worthless:
                self._study.end_as_worthless(self._limits.worth or 0.0)
        entered = len(self._study.history.trials)
        return entered if self._has_closed else max(entered, self._limits.n_trials)

    def _decide_whether_to_close(self) -> bool:
        self._is_worthless = self._is_not_worth_it()
        if self._is_worthless:
            return True
        time_left, budget_left = self.seconds, self._budget_left()
        if time_left is None and budget_left is None:
            return False
        needed = self._study.outlook.predicted_seconds(self._executor.capacity)
        if time_left is not None and time_left < CAUTION * needed:
            return True
        # Workers run in parallel, so they share the time but add to the cost.
        return budget_left is not None and budget_left < self._study.outlook.predicted_seconds(1)

    def _is_not_worth_it(self) -> bool:
        """Whether too little is expected of the next trials, now or when it was last decided.

        The estimate depends on measured times, which further full trainings change. So a decision
        is kept: the study can be resumed, and runs again without new trials.
        """
        worth = self._limits.worth
        if worth is None:
            return False
        if worth >= self._study.state.worthless_below:
            return True
        is_over = self._study.outlook.gain_for_a_base_training < worth
        if is_over:
            logger.info("expected improvement is below %g per base training: no new trials", worth)
        return is_over

    def _budget_left(self) -> float | None:
        """Remaining seconds of the budget; None if there is no budget, or its unit is unknown."""
        unit = self._study.outlook.timing.base if self._limits.base_trainings is not None else None
        if unit is None or self._limits.base_trainings is None:
            return None
        return self._limits.base_trainings * unit - self._study.outlook.spent_seconds

    def places(self, running: Mapping[RunId, Job]) -> int:
        """How many more trainings may start before the budget is spent, beside the running ones.

        A predicted unit ends the search, but never prevents the trainings that give a best config.
        """
        left, timing = self._budget_left(), self._study.outlook.timing
        if left is None or timing.base is None or not timing.is_measured:
            return self._executor.capacity + self._executor.ahead
        left -= sum(timing.training(run.rung) or 0.0 for run in running)
        return math.ceil(max(0.0, left) / timing.base)
