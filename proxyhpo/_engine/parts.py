"""The parts of a study."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from proxyhpo._proxy import NetworkFactory
from proxyhpo._records.rung import Rung
from proxyhpo._runs import Outcome
from proxyhpo.evaluators import Direction
from proxyhpo.searchers import Searcher
from proxyhpo.space import Space
from proxyhpo.transfers import Transfer

__all__ = ["Parts"]


@dataclass(frozen=True)
class Parts:
    """The parts of a study. They do not change while it runs.

    Args:
        space: the hyperparameters.
        searcher: proposes configs.
        transfer: adjusts the training of a proxy to its width.
        ladder: the rungs.
        networks: makes the networks.
        direction: ``"minimize"`` or ``"maximize"`` the value.
        seed: of the study.
        climbs_early: whether some trials are promoted before all have ended; only for two rungs.
        follows_trials: whether the number of promoted trials depends on the number of trials; only
            for two rungs.
        may_leave_proxies: whether trials start on the full network if proxies cannot save a third.
        controls: number of trials that reach the full network without having been selected.
        repeats: the largest number of further trainings of the two best trials. None if it depends
            on the number of trials.
        repeats_without_proxies: the same if trials start on the full network.
        checkpoints: whether each training gets a folder for its checkpoints.
        uses_best_report: whether the value of a training is its best report, not its last one.
    """

    space: Space
    searcher: Searcher
    transfer: Transfer
    ladder: Sequence[Rung]
    networks: NetworkFactory
    direction: Direction
    seed: int
    climbs_early: bool = False
    follows_trials: bool = False
    may_leave_proxies: bool = False
    controls: int = 0
    repeats: int | None = 0
    repeats_without_proxies: int = 0
    checkpoints: bool = False
    uses_best_report: bool = False

    @property
    def top(self) -> int:
        """The index of the last rung, the full network."""
        return len(self.ladder) - 1

    def loss(self, value: float) -> float:
        """The value as the engine compares it; lower is better."""
        return value if self.direction == "minimize" else -value

    def value(self, outcome: Outcome) -> float | None:
        """The value of a training; None if it failed."""
        if outcome.value is None or not self.uses_best_report:
            return outcome.value
        return min((report.value for report in outcome.reports), key=self.loss)
