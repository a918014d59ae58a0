"""The ranking of the trials on the full network, and the noise between seeds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

from proxyhpo._records.records import Record

__all__ = ["Noise", "Standing", "noise_of", "standings"]

_CERTAINTY = 0.95  # the share of equally good pairs of configs whose difference is in the margin


@dataclass(frozen=True)
class Noise:
    """The noise of a seed, estimated from trials with several seeds.

    Args:
        deviation: the standard deviation of trainings that differ only in their seed.
        trainings: how many trainings it is estimated from.
        trials: how many trials these belong to.
    """

    deviation: float
    trainings: int
    trials: int

    def margin(self, *seeds: int) -> float:
        """The largest difference of two means that chance explains: Student's t, 95 %, two-sided.

        An estimate from a few trainings is itself uncertain, so the margin is then larger. It is
        4.3 standard deviations of the difference with two pairs of trainings, and 2 with many.

        Args:
            seeds: how many trainings each of the means is made of.
        """
        from scipy.special import stdtrit  # noqa: PLC0415 - slow to import

        quantile = float(stdtrit(self.trainings - self.trials, (1 + _CERTAINTY) / 2))
        return quantile * self.deviation * math.sqrt(sum(1 / number for number in seeds))


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

    def margin(self, other: Standing, noise: Noise) -> float:
        """The largest difference to another trial that chance explains."""
        return noise.margin(len(self.runs), len(other.runs))

    def is_near(self, other: Standing, noise: Noise | None) -> bool:
        """Whether chance may explain the difference; True if the noise is not known."""
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


def noise_of(standing: Sequence[Standing]) -> Noise | None:
    """The noise of a seed, pooled over the trials with several seeds; None until there is one.

    The scatter of the reports of one training cannot replace it: with an annealed learning rate it
    is up to ten times too small.
    """
    several = [[r.loss or 0.0 for r in each.runs] for each in standing if len(each.runs) > 1]
    if not several:
        return None
    squares = sum((loss - fmean(losses)) ** 2 for losses in several for loss in losses)
    trainings = sum(map(len, several))
    return Noise(math.sqrt(squares / (trainings - len(several))), trainings, len(several))
