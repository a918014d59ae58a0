"""The ranking of the trainings at a rung."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import final

from typing_extensions import override

from proxyhpo._engine.standing import standings
from proxyhpo._records.history import History
from proxyhpo._records.records import Record
from proxyhpo._report.wording import config_words, table
from proxyhpo.errors import ArgumentError, printable

__all__ = ["Leaderboard", "columns_of", "leaderboard_of", "ranks_of"]


@final
class Leaderboard(list[Record]):
    """Trainings, best first: a list that prints as a table."""

    @override
    def __repr__(self) -> str:
        if not self:
            return "no trainings at this rung"
        titles, rows = columns_of(self)
        return printable("\n".join(table(titles, rows)))


def columns_of(
    records: Sequence[Record], count: int | None = None
) -> tuple[list[str], list[list[str]]]:
    """The titles and cells of a table of trainings; with seeds and means if there are several.

    Args:
        records: all trainings at a rung, because the means are those of all seeds.
        count: how many of them the table shows; None means all.
    """
    values: dict[int, list[float]] = {}
    for record in records:
        if record.state == "finished" and record.value is not None:
            values.setdefault(record.trial, []).append(record.value)
    means = {trial: f"{fmean(own):.6g}" for trial, own in values.items()}
    has_seeds = any(record.replicate for record in records)
    titles = ["trial", *(["seed", "mean"] if has_seeds else []), "value", "state", "seconds"]
    rows = [
        [
            str(record.trial),
            *([str(record.replicate), means.get(record.trial, "")] if has_seeds else []),
            f"{record.value:.6g}",
            record.state,
            f"{record.seconds:.1f}",
            config_words(record.config),
        ]
        for record in records[:count]
    ]
    return [*titles, "config"], rows


def ranks_of(records: Sequence[Record]) -> dict[int, int]:
    """Trial → its rank in a leaderboard. A trial has one rank, under however many seeds."""
    trials = dict.fromkeys(record.trial for record in records)
    return {trial: rank for rank, trial in enumerate(trials, 1)}


def leaderboard_of(history: History, n_rungs: int, rung: int) -> Leaderboard:
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

    return Leaderboard(sorted(ended, key=rank))
