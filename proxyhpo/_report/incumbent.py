"""The best value so far on each rung, against the cost so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
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
        best: the best value so far, after each of them.
    """

    rung: int
    costs: Sequence[float]
    values: Sequence[float]
    best: Sequence[float]


def incumbents(result: Result) -> list[Incumbents]:
    """One entry for each rung on which a training has finished."""
    spent, _ = spending(result)
    better = min if result.direction == "minimize" else max
    found = []
    for rung in range(len(result.ladder)):
        ended = [
            (cost, record.value)
            for cost, record in zip(spent, result.records, strict=True)
            if record.rung == rung and record.state == "finished" and record.value is not None
        ]
        if ended:
            costs, values = zip(*ended, strict=True)
            found.append(Incumbents(rung, costs, values, list(accumulate(values, better))))
    return found


def spending(result: Result) -> tuple[list[float], str]:
    """The cost at the end of each training, and its unit.

    The search is charged in equal parts to the trials, and measuring before the first one.
    """
    cost = result.cost
    search = cost.search_seconds / (cost.n_trials or 1)

    def charged(record: Record) -> float:
        return record.seconds + (search if record.rung == 0 else 0.0)

    seconds = accumulate(map(charged, result.records), initial=cost.measuring_seconds)
    scale = cost.base_training_seconds or 1.0
    words = "base trainings" if cost.base_training_seconds else "seconds"
    return [each / scale for each in seconds][1:], words
