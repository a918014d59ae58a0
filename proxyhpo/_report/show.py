"""A stored study in plain text: how far it is, what is best, what failed, what it cost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

from proxyhpo._engine.state import State
from proxyhpo._records.records import Record
from proxyhpo._records.rung import Rung
from proxyhpo._report.result import Result, readable
from proxyhpo.errors import StoreError, printable

__all__ = ["show"]

Events = Iterable[tuple[str, Mapping[str, Any]]]


def show(identity: Mapping[str, Any], events: Events, *, top: int = 5) -> str:
    """What :func:`proxyhpo._store.read_study` has read, for people.

    Args:
        identity: of the study.
        events: so far.
        top: how many runs are listed on each leaderboard, and how many failures, the last ones.

    Raises:
        StoreError: if the events are not those of a study.
    """
    try:
        text = "\n".join(_lines(identity, events, top))
    # A file from others may hold anything under any name. (ArgumentError is a ValueError.)
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        raise StoreError(
            f"the file holds no events of a study: {type(error).__name__}: {error}"
        ) from error
    return printable(text)


def _lines(identity: Mapping[str, Any], events: Events, top: int) -> Iterable[str]:
    ladder = [Rung(**rung) for rung in identity["ladder"]]
    state = State.replay(len(ladder), events)
    result = _result(identity, state, ladder)
    yield from _head(identity)
    yield from _section("Progress", _progress(result, [len(trials) for trials in state.entered]))
    for rung in reversed(range(len(result.ladder))):
        if best := result.leaderboard(rung)[:top]:
            yield from _section(f"Best at {_place(result, rung)}", _leaderboard(best))
    if failed := result.failures:
        shown = list(failed)[-top:]
        yield from _section(f"Failures, last {len(shown)} of {len(failed)}", _failures(shown))
    yield from _section("Cost", str(result.cost).splitlines())
    yield from _section(
        "Trust", [line for each in result.fidelity for line in str(each).splitlines()]
    )


def _result(identity: Mapping[str, Any], state: State, ladder: Sequence[Rung]) -> Result:
    return Result(
        history=state.history,
        ladder=ladder,
        direction=identity["direction"],
        best=state.best,
        search_seconds=state.search_seconds,
        interrupted=False,
        make_network=_no_network,
    )


def _no_network(record: Record) -> NoReturn:
    raise StoreError(f"a stored study alone cannot build the network of trial {record.trial}")


def _head(identity: Mapping[str, Any]) -> Iterable[str]:
    strategies = identity.get("strategies", {})
    parts = [f"{name} {made['class'].split('.')[-1]}" for name, made in strategies.items()]
    yield f"{identity['direction']} over {', '.join(identity['space'])}"
    yield f"seed {identity['seed']}, {', '.join(parts)}"


def _progress(result: Result, entered: Sequence[int]) -> Iterable[str]:
    if probes := result.history.probes:
        yield f"{len(result.history.probe_records)} of {len(probes)} probes have ended"
    states = ("finished", "stopped", "failed")
    rows = []
    for rung, started in enumerate(entered):
        # By trial, since one may have been trained more than once.
        last = {record.trial: record.state for record in result.records if record.rung == rung}
        counts = [sum(state == wanted for state in last.values()) for wanted in states]
        rows.append([_place(result, rung), started, *counts, started - sum(counts)])
    yield from _table(["", "entered", *states, "unfinished"], rows)


def _leaderboard(records: Sequence[Record]) -> Iterable[str]:
    rows = [
        [record.trial, f"{record.value:.6g}", f"{record.seconds:.1f}", readable(record.config)]
        for record in records
    ]
    return _table(["trial", "value", "seconds", "config"], rows)


def _failures(records: Sequence[Record]) -> Iterable[str]:
    rows = [
        [record.trial, record.rung, record.reason, readable(record.config)] for record in records
    ]
    return _table(["trial", "rung", "reason", "config"], rows)


def _place(result: Result, rung: int) -> str:
    opening, wanted = result.openings.get(rung), result.ladder[rung]
    density = opening.density if opening else wanted.density
    words = f"cost {wanted.cost:g}" if density is None else f"density {density:g}"
    return f"rung {rung} ({words}, budget {wanted.budget:g})"


def _section(title: str, lines: Iterable[str]) -> Iterable[str]:
    if indented := [f"  {line}" for line in lines]:
        yield from ("", title, *indented)


def _table(titles: Sequence[str], rows: Sequence[Sequence[object]]) -> Iterable[str]:
    cells = [list(titles), *([str(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
