"""A stored study as plain text: progress, leaderboards, failures and cost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from proxyhpo._report.failures import Failures
from proxyhpo._report.leaderboard import columns_of
from proxyhpo._report.result import Result
from proxyhpo._report.stored import Events, replayed, result_of
from proxyhpo._report.wording import rung_words, table
from proxyhpo._store import read_study, read_weights
from proxyhpo.errors import printable

__all__ = ["show", "show_events"]


def show(path: Path, *, top: int = 5) -> str:
    """Describes a stored study, for the command line.

    Args:
        path: of the store.
        top: length of each leaderboard, and number of failures to list (the last ones).

    Raises:
        StoreError: if there is no such file, or it is damaged or not a study.
    """
    return show_events(*read_study(path), path=path, top=top)


def show_events(
    identity: Mapping[str, Any], events: Events, *, path: Path = Path(), top: int = 5
) -> str:
    """The same for events that were already read."""
    state, study = replayed(identity, events)
    result = result_of(state, study, weights=partial(read_weights, path))
    return printable(
        "\n".join(_lines(result, study, [len(trials) for trials in state.entered], top))
    )


def _lines(
    result: Result, study: Mapping[str, Any], entered: Sequence[int], top: int
) -> Iterable[str]:
    yield f"{study['direction']} over {', '.join(study['space'])}"
    strategies = [f"{name} {path.split('.')[-1]}" for name, path in study["strategies"].items()]
    yield ", ".join([f"seed {study['seed']}", *strategies])
    yield from _section("Progress", _progress(result, entered))
    for rung in reversed(range(len(result.ladder))):
        titles, best = columns_of(result.leaderboard(rung), top)
        if best:
            yield from _section(f"Best at {_place(result, rung)}", table(titles, best))
    if failed := result.failures:
        shown = Failures(failed[-top:])
        yield from _section(
            f"Failures, last {len(shown)} of {len(failed)}", repr(shown).splitlines()
        )
    yield from _section("Cost", str(result.cost).splitlines())
    yield from _section(
        "Trust", [line for each in result.fidelity for line in str(each).splitlines()]
    )


def _progress(result: Result, entered: Sequence[int]) -> Iterable[str]:
    states = ("finished", "stopped", "failed")
    rows = []
    for rung, started in enumerate(entered):
        # Trials, not trainings, since a trial may have been trained more than once.
        last = {record.trial: record.state for record in result.records if record.rung == rung}
        counts = [sum(state == wanted for state in last.values()) for wanted in states]
        rows.append([_place(result, rung), started, *counts, started - sum(counts)])
    yield from table(["", "entered", *states, "unfinished"], rows)


def _place(result: Result, rung: int) -> str:
    return f"rung {rung} ({rung_words(result.history, result.ladder, rung)})"


def _section(title: str, lines: Iterable[str]) -> Iterable[str]:
    if indented := [f"  {line}" for line in lines]:
        yield from ("", title, *indented)
