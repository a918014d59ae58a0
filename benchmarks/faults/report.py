"""Reads the records of the studies of :mod:`benchmarks.faults`, and makes the tables."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

from benchmarks.rows import Row
from proxyhpo._records.run_id import RunId
from proxyhpo._store import read_study

_TOP = 1
"""The index of the full network's rung."""


def note(file: Path, what: object) -> None:
    """Appends a line atomically, also if several processes write."""
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, f"{what}\n".encode())
    os.close(descriptor)


def n_lines(file: Path) -> int:
    return len(file.read_bytes().splitlines()) if file.exists() else 0


def known(folder: Path) -> dict[str, str]:
    """Training → its record in the store."""
    if not (folder / "study.db").exists() or not (folder / "study.db").stat().st_size:
        return {}
    _, events = read_study(folder / "study.db")
    return {_name(body): json.dumps(body) for kind, body in events if kind == "record"}


def _name(body: Mapping[str, Any], rung: int = 0) -> str:
    """Identifies a training. A trial that is trained under several seeds has several of them."""
    return RunId(body["trial"], body.get("rung", rung), body.get("replicate", 0)).name


def _begun(events: Iterable[tuple[str, Mapping[str, Any]]]) -> set[str]:
    """Every training that was decided on."""
    found: set[str] = set()
    for kind, body in events:
        if kind == "trial":
            found.add(_name({"trial": body["number"], **body}))
        elif kind == "promotion":
            found.add(_name(body))
        elif kind == "repeats":
            found.update(RunId(trial, _TOP, seed).name for trial, seed in body["runs"])
    return found


def outcome_of(folder: Path, forgotten: AbstractSet[str]) -> Row:
    """The outcome of a complete study: how often each fault occurred, and what was lost.

    Args:
        folder: of the study.
        forgotten: trainings whose records were in the store, and were missing or changed later.
    """
    _, events = read_study(folder / "study.db")
    begun, records = _begun(events), known(folder)
    states = Counter(json.loads(body)["state"] for body in records.values())
    lost = sorted(begun - records.keys() | forgotten)
    counts = {
        "studies": 1,
        "trainings begun": len(begun),
        "finished": states["finished"],
        "failed, with the reason": states["failed"],
        "stopped early by the study's stopper": states["stopped"],
        "lost": len(lost),
        "trained to the end twice": n_lines(folder / "trained") - states["finished"],
        "found settings of another training": n_lines(folder / "polluted"),
    }
    faults = Counter((folder / "faults").read_text(encoding="utf-8").splitlines())
    return {"faults": dict(faults), "counts": counts, "lost": lost}


def evidence(folder: Path, lost: Sequence[str]) -> str:
    """The runs and the last events of a study, to find out how trainings were lost."""
    _, events = read_study(folder / "study.db")
    lines = [f"lost: {', '.join(lost)}; the study is kept in {folder}", "its runs:"]
    lines += (folder / "runs").read_text(encoding="utf-8").splitlines()[-10:]
    lines += [
        "its last events:",
        *(f"{kind} {json.dumps(body)[:160]}" for kind, body in events[-15:]),
    ]
    return "\n".join(lines)


class Tally:
    """The outcomes of all studies so far."""

    def __init__(self) -> None:
        self.faults: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()

    def add(self, found: Row) -> None:
        """Adds the outcome of a study, as :func:`outcome_of` returns it."""
        self.faults.update(found["faults"])
        self.counts.update(found["counts"])

    def tables(self) -> str:
        """The tables of faults and of trainings, in markdown."""
        lines = ["", "| fault | times |", "|---|---|"]
        lines += [f"| {fault} | {times} |" for fault, times in self.faults.most_common()]
        lines += [f"| all | {self.faults.total()} |", "", "| trainings | |", "|---|---|"]
        return "\n".join(
            [*lines, *(f"| {what} | {times} |" for what, times in self.counts.items())]
        )

    @property
    def is_good(self) -> bool:
        """Whether nothing was lost."""
        return not self.counts["lost"] and not self.counts["found settings of another training"]
