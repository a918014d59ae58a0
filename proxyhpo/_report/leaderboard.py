"""The ranking of the trainings at a rung."""

from __future__ import annotations

from proxyhpo._engine.standing import standings
from proxyhpo._records.history import History
from proxyhpo._records.records import Record
from proxyhpo.errors import ArgumentError

__all__ = ["leaderboard_of"]


def leaderboard_of(history: History, n_rungs: int, rung: int) -> list[Record]:
    """The trainings at a rung that did not fail, best first; stopped ones come last.

    Args:
        history: of the study.
        n_rungs: number of rungs of the ladder.
        rung: index in the ladder; negative indices count from the end.

    Raises:
        ArgumentError: if there is no such rung.
    """
    if not isinstance(rung, int) or not -n_rungs <= rung < n_rungs:
        raise ArgumentError(
            f"rung must be a whole number below {n_rungs} (negative ones count from the end), "
            f"got {rung!r}"
        )
    index = rung % n_rungs
    ended = [r for r in history.records if r.rung == index and r.loss is not None]
    means = {each.trial: each.rank for each in standings(ended, index)}

    def rank(record: Record) -> tuple[bool, float | None, int, int]:
        loss, trial = means.get(record.trial, (record.loss, record.trial))
        return record.state == "stopped", loss, trial, record.replicate

    return sorted(ended, key=rank)
