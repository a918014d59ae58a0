"""How far a search goes: trials, budgets, and what one more training must be worth."""

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
"""By how much a prediction is exceeded before a time limit is."""


@dataclass(frozen=True)
class Limits:
    """How far a climb goes.

    Args:
        n_trials: how many trials there are in all.
        timeout: seconds from now; enough of it is kept back for the rungs above the first.
        base_trainings: what may be charged to the study in all, in full trainings of the full
            network; enough of it is kept back likewise, and none begins once it is spent.
        worth: by how much the value is to improve for each further base training.
        max_retries: how often a training whose worker died is tried again.
        ordered: decide on as many trainings as run at a time, and wait for all of them, so that
            the study can be repeated whichever ends first, by as many workers.
    """

    n_trials: float
    timeout: float | None = None
    base_trainings: float | None = None
    worth: float | None = None
    max_retries: int = 0
    ordered: bool = False


class Remaining:
    """Time, money and trials left; closes the search early enough for the rungs above the first."""

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
        """Whether a budget ended the search before it had all the trials that were asked for."""
        entered = len(self._study.history.trials)
        is_short = entered < self._limits.n_trials < math.inf
        return self._has_closed and is_short and not self._is_worthless

    @property
    def n_trials(self) -> float:
        """How many trials there are in all, by what is left.

        A search that was closed by predicted times alone opens again if the first training of the
        full network shows that there is enough left.
        """
        if not self._is_final:
            self._has_closed = self._is_to_close()
            self._is_final = self._has_closed and self._study.outlook.timing.is_measured
        entered = len(self._study.history.trials)
        return entered if self._has_closed else max(entered, self._limits.n_trials)

    def _is_to_close(self) -> bool:
        worth = self._limits.worth
        if worth is not None and self._study.outlook.gain_for_a_base_training < worth:
            logger.info("one more trial is expected to gain less than %g a base training", worth)
            self._is_worthless = True
            return True
        time_left, budget_left = self.seconds, self._budget_left()
        if time_left is None and budget_left is None:
            return False
        needed = self._study.outlook.predicted_seconds(self._executor.capacity)
        if time_left is not None and time_left < CAUTION * needed:
            return True
        # Workers share the time, and not the budget.
        return budget_left is not None and budget_left < self._study.outlook.predicted_seconds(1)

    def _budget_left(self) -> float | None:
        """Seconds of the budget that have not been charged; None without one, or a unit for it."""
        unit = self._study.outlook.timing.base if self._limits.base_trainings is not None else None
        if unit is None or self._limits.base_trainings is None:
            return None
        return self._limits.base_trainings * unit - self._study.outlook.spent_seconds

    def places(self, running: Mapping[RunId, Job]) -> int:
        """How many trainings may begin before the budget is spent, beside those that run.

        A predicted unit closes the search, and does not keep it from a best config.
        """
        left, timing = self._budget_left(), self._study.outlook.timing
        if left is None or timing.base is None or not timing.is_measured:
            return self._executor.capacity + self._executor.ahead
        left -= sum(timing.training(run.rung) or 0.0 for run in running)
        return math.ceil(max(0.0, left) / timing.base)
