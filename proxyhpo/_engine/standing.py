"""The ranking of the trials on the full network, and the noise between seeds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

from proxyhpo._records.records import Record

__all__ = ["Noise", "Standing", "noise_of", "standings"]

_LAST = 5  # number of last reports whose scatter is measured
_ROUNDING = 1e-9  # share of the largest value up to which scatter counts as rounding
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

    def margin(self, other: Standing, noise: Noise) -> float:
        """How large a difference noise explains: two standard deviations of the difference."""
        return _SIGMAS * noise.sd * math.sqrt(1 / len(self.runs) + 1 / len(other.runs))

    def is_near(self, other: Standing, noise: Noise) -> bool:
        """Whether noise may explain the difference."""
        return abs(self.loss - other.loss) < self.margin(other, noise)


@dataclass(frozen=True)
class Noise:
    """How much two trainings of one config differ if only the seed differs.

    Args:
        sd: the standard deviation of one training's value.
        source: ``seeds`` if configs were trained under several seeds; otherwise ``reports``, the
            scatter of a training's last reports around a smooth curve, which is a lower bound.
    """

    sd: float
    source: str


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
    """The noise observed in trainings of the full network; None if there is no data."""
    several = [[r.loss or 0.0 for r in each.runs] for each in standing if len(each.runs) > 1]
    if several:
        squares = sum((loss - fmean(losses)) ** 2 for losses in several for loss in losses)
        freedom = sum(len(losses) - 1 for losses in several)
        return Noise(math.sqrt(squares / freedom), "seeds")
    ends = [run.values[-_LAST:] for each in standing for run in each.runs]
    bends = [bend for values in ends for bend in _bends(values)]
    if not bends:
        return None
    # The variance of x - 2y + z is six times that of a single value.
    sd = math.sqrt(fmean(bend**2 for bend in bends) / 6)
    largest = max(abs(value) for values in ends for value in values)
    return Noise(0.0 if sd <= _ROUNDING * largest else sd, "reports")


def _bends(values: Sequence[float]) -> list[float]:
    """The second differences, which are zero for a linear trend."""
    return [x - 2 * y + z for x, y, z in zip(values, values[1:], values[2:], strict=False)]
