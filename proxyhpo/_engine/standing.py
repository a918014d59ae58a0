"""The ranking of the trials on the full network, and the noise between seeds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

from proxyhpo._records.records import Record

__all__ = ["Standing", "noise_of", "standings"]

_SIGMAS = 2.0  # a smaller difference of two means counts as noise


@dataclass(frozen=True)
class Standing:
    """A trial of the full network, with its finished trainings, one per seed.

    Args:
        trial: its number.
        runs: in the order of their seeds.
    """

    trial: int
    runs: Sequence[Record]

    @property
    def loss(self) -> float:
        """The mean over its seeds; lower is better."""
        return fmean(record.loss for record in self.runs if record.loss is not None)

    @property
    def value(self) -> float:
        """The same in the user's direction."""
        return fmean(record.value for record in self.runs if record.value is not None)

    @property
    def best(self) -> Record:
        """The best of its trainings."""
        return min(self.runs, key=lambda record: (record.loss, record.replicate))

    @property
    def rank(self) -> tuple[float, int]:
        """A sort key; of equal trials the earlier one comes first."""
        return self.loss, self.trial

    def margin(self, other: Standing, noise: float) -> float:
        """How large a difference noise explains: two standard deviations of the difference."""
        return _SIGMAS * noise * math.sqrt(1 / len(self.runs) + 1 / len(other.runs))

    def is_near(self, other: Standing, noise: float | None) -> bool:
        """Whether the noise of a seed may explain the difference; True if it is not known."""
        return noise is None or abs(self.loss - other.loss) <= self.margin(other, noise)


def standings(records: Iterable[Record], top: int) -> list[Standing]:
    """The trials that finished on the full network, best first, by the mean over their seeds.

    Args:
        records: of the study.
        top: the index of the last rung.
    """
    runs: dict[int, list[Record]] = {}
    for record in records:
        if record.rung == top and record.state == "finished":
            runs.setdefault(record.trial, []).append(record)
    return sorted((Standing(*each) for each in runs.items()), key=lambda each: each.rank)


def noise_of(standing: Sequence[Standing]) -> float | None:
    """The noise of a seed: the standard deviation of trainings that differ only in their seed.

    It is None until a trial has several seeds. The scatter of the reports of one training cannot
    replace it: with an annealed learning rate it is up to ten times too small.
    """
    several = [[r.loss or 0.0 for r in each.runs] for each in standing if len(each.runs) > 1]
    if not several:
        return None
    squares = sum((loss - fmean(losses)) ** 2 for losses in several for loss in losses)
    freedom = sum(len(losses) - 1 for losses in several)
    return math.sqrt(squares / freedom)
