"""The best value so far on each rung, against the cost so far."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, takewhile
from statistics import fmean
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from proxyhpo._records.records import Record
    from proxyhpo._report.result import Result

__all__ = ["Incumbents", "incumbents", "spending"]


@dataclass(frozen=True)
class Incumbents:
    """How the best value of a rung improved.

    Args:
        rung: index in the ladder.
        costs: the cost at the end of each of its trainings, in order.
        values: of these trainings.
        best: the value of the best trial so far, after each of them. It is the mean over the
            trial's seeds, so that a further seed may make it worse.
    """

    rung: int
    costs: Sequence[float]
    values: Sequence[float]
    best: Sequence[float]

    @property
    def reached(self) -> float:
        """The cost at which the final best value was reached."""
        steps = zip(reversed(self.costs), reversed(self.best), strict=True)
        return min(cost for cost, _ in takewhile(lambda step: step[1] == self.best[-1], steps))


def incumbents(result: Result) -> list[Incumbents]:
    """One entry for each rung on which a training has finished."""
    spent, _ = spending(result)
    better = min if result.direction == "minimize" else max
    found = []
    for rung in range(len(result.ladder)):
        ended = [
            (cost, record.value, record.trial)
            for cost, record in zip(spent, result.records, strict=True)
            if record.rung == rung and record.state == "finished" and record.value is not None
        ]
        if ended:
            costs, values, trials = zip(*ended, strict=True)
            best = [better(means.values()) for means in _means(trials, values)]
            found.append(Incumbents(rung, costs, values, best))
    return found


def _means(trials: Sequence[int], values: Sequence[float]) -> Iterator[Mapping[int, float]]:
    """After each training: trial → mean of its values so far."""
    seeds: dict[int, list[float]] = {}
    means: dict[int, float] = {}
    for trial, value in zip(trials, values, strict=True):
        seeds.setdefault(trial, []).append(value)
        means[trial] = fmean(seeds[trial])
        yield means


def spending(result: Result) -> tuple[list[float], str]:
    """The cost at the end of each training, and its unit.

    The time of the searcher is charged to the trials in equal parts. Measuring is charged before
    the first training.
    """
    cost = result.cost
    search = cost.search_seconds / (cost.n_trials or 1)

    def charged(record: Record) -> float:
        return record.seconds + (search if record.rung == 0 else 0.0)

    seconds = accumulate(map(charged, result.records), initial=cost.measuring_seconds)
    scale = cost.base_training_seconds or 1.0
    words = "base trainings" if cost.base_training_seconds else "seconds"
    return [each / scale for each in seconds][1:], words
