"""What a study has cost so far, what it will, and what more trials are worth."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable

from proxyhpo._engine.parts import Parts
from proxyhpo._engine.prediction import Timing
from proxyhpo._engine.promotion import Promotions
from proxyhpo._engine.state import State
from proxyhpo._engine.worth import expected_gain
from proxyhpo._records.records import Record

__all__ = ["Outlook"]

logger = logging.getLogger("proxyhpo")

_MOST = 2 / 3
"""What a proxy may take of a full training, at most: or else it cannot save a third."""

_NOTABLE = 0.25
"""Share of a training that is worth a word if no proxy makes it faster."""


class Outlook:
    """Looks ahead from the state of a study; it changes nothing.

    Args:
        parts: of the study.
        state: of the study.
        promotions: of the study.
    """

    def __init__(self, parts: Parts, state: State, promotions: Promotions) -> None:
        self._parts = parts
        self._state = state
        self._promotions = promotions

    @property
    def timing(self) -> Timing:
        """How long trainings take, by what is known now."""
        return Timing(self._parts.ladder, self._state.history)

    @property
    def spent_seconds(self) -> float:
        """Everything that has been charged so far."""
        history = self._state.history
        trainings = sum(record.seconds for record in history.records)
        deaths = sum(death.seconds for death in history.deaths)
        return trainings + deaths + self._state.search_seconds + history.measuring_seconds

    def predicted_seconds(self, workers: int) -> float:
        """What one more trial takes, and then the climb; 0 while nothing is known.

        Args:
            workers: that train at the same time.
        """
        timing = self.timing
        if self._state.why_full:
            return timing.base or 0.0
        seconds = timing.trial or 0.0
        for rung, count in self._promotions.to_climb(1).items():
            seconds += math.ceil(count / workers) * (timing.training(rung) or 0.0)
        return seconds

    def why_leave(self, step_ratio: Callable[[float], float]) -> str:
        """Why the next trials begin on the full network, in one sentence; empty if they do not.

        Decided by step times before the first trial, and by trainings once some have ended on both
        networks.

        Args:
            step_ratio: measures how many times longer a step of the full network takes; see
                :meth:`~proxyhpo._engine.rungs.Rungs.step_ratio`.
        """
        by_steps = not self._state.history.trials
        share = 1 / step_ratio(_MOST) if by_steps else self.timing.trial_share()
        if share is None or share <= _MOST:
            return ""
        kind = "a step" if by_steps else "a training"
        return (
            f"the search runs on the full network: {kind} of the proxy takes {share:.0%} of the "
            "full network's time, so proxies cannot save a third (proxies=True keeps them)"
        )

    @property
    def gain_for_a_base_training(self) -> float:
        """What the next trials are expected to gain for their cost; infinite while unknown."""
        trials = self._state.history.trials
        losses = [loss for trial in trials if (loss := trial.loss) is not None]
        gain, timing = expected_gain(losses), self.timing
        cost = timing.base if self._state.why_full else timing.trial
        if gain is None or not cost or not timing.base:
            return math.inf
        return gain / (cost / timing.base)

    def tell_of_fixed_share(self, record: Record) -> None:
        """Says, after the first training of the full network, what proxies cannot make faster."""
        top = self._parts.top
        first = len(self._state.ended[top]) == 1 and record.rung == top > 0
        if first and (share := self.timing.fixed_share or 0.0) >= _NOTABLE:
            logger.warning(
                "%.0f%% of a training goes elsewhere than into the network's steps, such as "
                "loading data: no proxy makes that faster",
                100 * share,
            )
