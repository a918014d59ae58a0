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
"""Safety factor on predicted durations when there is a time limit."""


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
        self._closed_by: tuple[str, float] | None = None  # the name and value of a limit
        self._is_final = False

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
        by = None if self._closed_by is None else self._closed_by[0]
        return is_short and by != "worth" and (is_spent or by is not None)

    def decide_n_trials(self) -> float:
        """Decides whether to end the search, and returns the total number of trials allowed.

        A search that was closed only because of predicted times is opened again if the first
        training of the full network shows that enough is left. A later decision is stored, because
        it depends on measured times, which the trainings of the finalists change: a study that is
        resumed or run again gets no new trials either.
        """
        study = self._study
        if not self._is_final:
            before, closed_by = self._closed_by, self._limit_reached()
            self._closed_by = closed_by
            self._is_final = closed_by is not None and study.outlook.timing.is_measured
            if closed_by is not None and closed_by != before:
                logger.info("no new trials start: the limit %s=%g is reached", *closed_by)
            if closed_by is not None and self._is_final and closed_by[0] != "timeout":
                study.close_search(*closed_by)
        entered = len(study.history.trials)
        return max(entered, self._limits.n_trials) if self._closed_by is None else entered

    def _limit_reached(self) -> tuple[str, float] | None:
        """The limit, as (name, value), for which no new trial may start; None if one may."""
        limits, study, outlook = self._limits, self._study, self._study.outlook
        worth, timeout, budget = limits.worth, limits.timeout, limits.base_trainings
        if worth is not None:
            is_kept = study.state.is_closed("worth", worth)
            if is_kept or outlook.gain_for_a_base_training < worth:
                return "worth", worth
        time_left, budget_left = self.seconds, self._budget_left()
        if timeout is not None and time_left is not None:
            needed = outlook.predicted_seconds(self._executor.capacity)
            if time_left < CAUTION * needed:
                return "timeout", timeout
        if budget is not None and budget_left is not None:
            is_kept = study.state.is_closed("base_trainings", budget)
            # Workers run in parallel, so they share the time but add to the cost.
            if is_kept or budget_left < outlook.predicted_seconds(1):
                return "base_trainings", budget
        return None

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

    def affords(self, repeats: int) -> bool:
        """Whether the remaining time and budget suffice for so many repeats of finalists.

        Nothing is reserved for repeats. If only one of two were made, the better of two configs
        would be chosen from different numbers of seeds.
        """
        base, left = self._study.outlook.timing.base or 0.0, self._budget_left()
        rounds = math.ceil(repeats / self._executor.capacity)
        is_timely = self.seconds is None or self.seconds >= CAUTION * rounds * base
        return is_timely and (left is None or left >= repeats * base)
