"""Predicts how long the rest of the climb will take, from the trainings so far."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean

from proxyhpo._records.opening import Measurement
from proxyhpo._records.records import Record
from proxyhpo._records.rung import Rung

__all__ = ["climb_seconds"]


def climb_seconds(
    ladder: Sequence[Rung],
    measured: Mapping[int, Measurement],
    ended: Sequence[Record],
    *,
    controls: int = 0,
    workers: int = 1,
) -> float:
    """Predicts the seconds for one more trial and for the climb; 0 if nothing is known yet.

    A training on a higher rung takes the training time of rung 0, times the ratio of step times and
    of budgets. The time for building and pruning a network stays the same. The number of trainings
    on a rung is limited by ``keep`` and by the number of trials.

    Args:
        ladder: the rungs. The first and the last must have been measured.
        measured: rung → measurement. Other rungs are estimated from their density or cost.
        ended: records of rung 0.
        controls: number of controls, which are trained on the last rung as well.
        workers: number of trainings that run at the same time.
    """
    timed = [record for record in ended if record.seconds > 0]
    if not timed:
        return 0.0
    # Promoted trials are usually trained in full, so stopped ones would bias the estimate.
    whole = [record for record in timed if record.state != "stopped"] or timed
    making = fmean(record.overhead_seconds for record in whole)
    training = fmean(record.training_seconds for record in whole)
    total = fmean(record.seconds for record in timed)
    below, top = measured[0].step_seconds, measured[len(ladder) - 1].step_seconds
    for number in range(1, len(ladder)):
        known = measured.get(number)
        step = _guessed(ladder, number, below, top) if known is None else known.step_seconds
        ratio = max(1.0, step / below * ladder[number].budget / ladder[0].budget)
        climbers = min(ladder[number - 1].keep or 0, len(ended) + 1)
        if number == len(ladder) - 1:
            climbers += min(controls, len(ended) + 1 - climbers)
        total += math.ceil(climbers / workers) * (making + training * ratio)
    return total


def _guessed(ladder: Sequence[Rung], number: int, below: float, top: float) -> float:
    """Estimates the step seconds of an unmeasured rung; linear in the density, an overestimate."""
    rung, first = ladder[number], ladder[0].density
    if rung.cost is not None:
        return rung.cost * top
    if rung.density is None or first is None or first >= 1:
        return top
    return below + (top - below) * (rung.density - first) / (1 - first)
