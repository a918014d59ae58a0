"""The cost of a study so far, its predicted cost, and the expected gain from more trials."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable

from proxyhpo._engine.ladder import early_climbs, finalists_of
from proxyhpo._engine.parts import Parts
from proxyhpo._engine.prediction import MOST_COST, Timing, outside_steps
from proxyhpo._engine.promotion import Promotions
from proxyhpo._engine.state import State
from proxyhpo._engine.worth import expected_gain
from proxyhpo._records.records import Record

__all__ = ["Outlook"]

logger = logging.getLogger("proxyhpo")

_MOST_BY_STEPS = 1 / 3
"""The maximum by step times, in a search that is too short to plan an early full training.

The time of a step does not include loading data and the optimizer. A full training shows what these
cost, but a short search may make its first one at the end. It makes one earlier if
:meth:`Outlook.doubts_proxies`, which needs a few trials whose backward passes were counted.
"""

_NOTABLE = 0.25
"""Share of a training that proxies cannot reduce, above which it is reported."""


class Outlook:
    """Predicts costs and gains from the state of a study, without changing it."""

    def __init__(self, parts: Parts, state: State, promotions: Promotions) -> None:
        self._parts = parts
        self._state = state
        self._promotions = promotions

    @property
    def timing(self) -> Timing:
        """How long trainings take, measured or predicted."""
        return Timing(self._parts.ladder, self._state.history)

    @property
    def spent_seconds(self) -> float:
        """The total cost so far, in seconds."""
        history = self._state.history
        trainings = sum(record.seconds for record in history.records)
        deaths = sum(death.seconds for death in history.deaths)
        return trainings + deaths + self._state.search_seconds + history.measuring_seconds

    def predicted_seconds(self, workers: int) -> float:
        """Predicts the seconds of one more trial and the climb; 0 if nothing is known.

        Args:
            workers: number of trainings that run at the same time.
        """
        timing = self.timing
        if self._state.why_full:
            return timing.base or 0.0
        seconds = timing.trial or 0.0
        for rung, count in self._promotions.to_climb(1).items():
            seconds += math.ceil(count / workers) * (timing.training(rung) or 0.0)
        return seconds

    def why_leave(self, step_ratio: Callable[[float], float], n_trials: float) -> str:
        """Why the next trials start on the full network, in one sentence; empty if they do not.

        Before the first trial, step times decide. Once trainings have ended on both networks, their
        times decide. See also :meth:`doubts_proxies`.

        Args:
            step_ratio: measures how many times longer a step of the full network takes; see
                :meth:`~proxyhpo._engine.rungs.Rungs.step_ratio`.
            n_trials: total number of trials.
        """
        by_steps = not self._state.history.trials
        is_short = not early_climbs(finalists_of(n_trials), n_trials)
        most = _MOST_BY_STEPS if by_steps and is_short else MOST_COST
        share = 1 / step_ratio(most) if by_steps else self.timing.trial_share()
        if share is None or share <= most:
            return ""
        kind = "a step" if by_steps else "a training"
        return (
            f"the search runs on the full network: {kind} of the proxy takes {share:.0%} of the "
            f"full network's time, and {most:.0%} is the limit (proxies=True uses proxies anyway)"
        )

    def doubts_proxies(self) -> bool:
        """Whether proxies are predicted to save too little, so that a full training must check it.

        The prediction does not decide by itself, because it assumes that batches have the size of
        ``example_inputs`` (see :class:`Timing`). Instead, a finalist is trained early.
        """
        if not self._parts.may_leave_proxies:
            return False
        share = self.timing.predicted_trial_share()
        return share is not None and share > MOST_COST

    @property
    def gain_for_a_base_training(self) -> float:
        """The expected gain of the next trials, per base training; infinite if unknown."""
        trials = self._state.history.trials
        losses = [loss for trial in trials if (loss := trial.loss) is not None]
        gain, timing = expected_gain(losses), self.timing
        cost = timing.base if self._state.why_full else timing.trial
        if gain is None or not cost or not timing.base:
            return math.inf
        return gain / (cost / timing.base)

    def tell_of_fixed_share(self, record: Record) -> None:
        """Logs which share of a training proxies cannot reduce, if it is large.

        The first training that finishes on the full network shows it. An estimate from trainings of
        proxies alone is far too high, because it assumes that the optimizer and the validation take
        as long on both networks.
        """
        top = self._parts.top
        ended = self._state.ended[top].values()
        if not top or [each.id for each in ended if each.state == "finished"] != [record.id]:
            return
        share = self.timing.fixed_share
        if share is not None and share >= _NOTABLE:
            logger.warning("%s; proxies cannot shorten that part", outside_steps(share))
