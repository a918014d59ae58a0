"""The predicted remaining time of a search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from statistics import fmean
from typing import TYPE_CHECKING, NamedTuple

from proxyhpo._engine.prediction import Timing
from proxyhpo._records.records import Record

if TYPE_CHECKING:
    from proxyhpo._engine.study import Study
    from proxyhpo._runs import RunId

__all__ = ["TimeLeft", "time_left"]


class TimeLeft(NamedTuple):
    """The predicted remaining time; see :class:`~proxyhpo._progress.status.Status`."""

    seconds: float | None = None
    is_late: bool = False


def time_left(
    study: Study,
    n_open: Sequence[int],
    by_rung: Sequence[Sequence[Record]],
    started: Mapping[RunId, float],
    workers: int,
) -> TimeLeft:
    """Predicts the remaining time from the measured or predicted duration of a training per rung.

    Rungs are counted one after the other, because the last trial of a rung decides which trials are
    promoted.

    Args:
        study: the running study.
        n_open: for each rung, how many expected trainings have not ended.
        by_rung: the records of each rung.
        started: running training → seconds since its start.
        workers: number of trainings that run at the same time.
    """
    seconds, n_waiting, is_late = 0.0, 0, False
    for number, n in enumerate(n_open):
        if not n:
            continue
        lasted = [since for run, since in started.items() if run.rung == number]
        each = _each(study, by_rung, number, max(lasted, default=0.0))
        if each is None:
            return TimeLeft()
        is_late |= any(since > each.expected for since in lasted)
        rest = [max(0.0, each.expected - since) for since in lasted]
        n_waiting += n - len(lasted)
        seconds += _until_all_end(rest, n - len(lasted), each.next, workers)
    return TimeLeft(None, is_late=True) if is_late and not n_waiting else TimeLeft(seconds)


class _Each(NamedTuple):
    """The duration of a training on a rung."""

    expected: float
    next: float
    """Of trainings that have not started; higher if a running one exceeds the prediction."""


def _each(
    study: Study, by_rung: Sequence[Sequence[Record]], number: int, longest: float
) -> _Each | None:
    """The mean duration on a rung, or a prediction from rung 0; None if there is none.

    Args:
        study: the running study.
        by_rung: the records of each rung.
        number: of the rung.
        longest: seconds since the start of the oldest running training on the rung.
    """
    # Promoted trials are rarely stopped, unlike those of a search on the full network.
    is_climbed = number > 0 and not study.state.why_full
    whole = _mean_duration(by_rung[number], {"finished"}) if is_climbed else None
    known = _mean_duration(by_rung[number]) if whole is None else whole
    if known is not None:
        return _Each(known, known)
    first = _mean_duration(by_rung[0], {"finished"}) or _mean_duration(by_rung[0])
    timing = Timing(study.parts.ladder, study.history)
    ratio = timing.ratio(number) if timing.is_known(number) else None
    if first is None or ratio is None:
        return None
    return _Each(first * ratio, max(first * ratio, longest))


def _until_all_end(rest: Sequence[float], waiting: int, each: float, workers: int) -> float:
    """Seconds until the running and the waiting trainings have ended.

    >>> _until_all_end([3, 1], 1, 5, workers=2), _until_all_end([], 3, 5, workers=2)
    (6, 10)

    Args:
        rest: remaining seconds of each running training.
        waiting: number of trainings that have not started.
        each: seconds of each of them.
        workers: number of trainings that run at the same time.
    """
    free = sorted([*rest, *[0] * (workers - len(rest))])
    rounds, more = divmod(waiting, len(free))
    ends = [when + each * (rounds + (place < more)) for place, when in enumerate(free)]
    return max(ends)


def _mean_duration(
    records: Sequence[Record], states: AbstractSet[str] = frozenset({"finished", "stopped"})
) -> float | None:
    """In wall-clock time, because a training may have reported the seconds of its record itself."""
    lasted = [
        record.ended_at - record.started_at
        for record in records
        if record.state in states and record.started_at is not None and record.ended_at is not None
    ]
    return max(0.0, fmean(lasted)) if lasted else None
