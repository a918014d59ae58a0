"""How long the way to the top of the ladder will take, told from the trainings so far."""

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
    """Seconds for one more trial and for the climb of those that leave rung 0; 0 if unknown.

    A training above takes the time of those at rung 0 times the ratio of steps and budgets; what
    it takes to build and prune a network stays. As many climb as there are places or trials.

    Args:
        ladder: the rungs, of which the first and the last have been measured.
        measured: rung → what was measured; one between is guessed from its density or cost.
        ended: records of rung 0.
        controls: trials that reach the last rung besides.
        workers: that train at the same time.
    """
    timed = [record for record in ended if record.seconds > 0]
    if not timed:
        return 0.0
    # Those that climb are trained to the end, whether or not others were stopped.
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
    """Step seconds of a rung that has not been measured: in line with the density, rather much."""
    rung, first = ladder[number], ladder[0].density
    if rung.cost is not None:
        return rung.cost * top
    if rung.density is None or first is None or first >= 1:
        return top
    return below + (top - below) * (rung.density - first) / (1 - first)
