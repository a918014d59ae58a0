"""What is known of the studies of :mod:`faults`: their records, and the tables that are printed."""

from __future__ import annotations

import collections
import json
import os
from pathlib import Path

from proxyhpo._store import read_study


def note(file: Path, what: object) -> None:
    """Appends a line atomically, also if several processes write."""
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, f"{what}\n".encode())
    os.close(descriptor)


def n_lines(file: Path) -> int:
    return len(file.read_bytes().splitlines()) if file.exists() else 0


def known(folder: Path) -> dict[str, str]:
    """(trial, rung) → the record, as the store has it."""
    if not (folder / "study.db").exists() or not (folder / "study.db").stat().st_size:
        return {}
    _, events = read_study(folder / "study.db")
    bodies = [body for kind, body in events if kind == "record"]
    return {str((body["trial"], body["rung"])): json.dumps(body) for body in bodies}


class Tally:
    """What came of all studies so far."""

    def __init__(self) -> None:
        self.faults: collections.Counter[str] = collections.Counter()
        self.counts: collections.Counter[str] = collections.Counter()

    def add(self, folder: Path, forgotten: set[str]) -> None:
        """Counts a study that is complete."""
        _, events = read_study(folder / "study.db")
        begun = {str((body["number"], 0)) for kind, body in events if kind == "trial"}
        begun |= {str((b["trial"], b["rung"])) for kind, b in events if kind == "promotion"}
        records = known(folder)
        states = collections.Counter(json.loads(body)["state"] for body in records.values())
        lines = (folder / "faults").read_text(encoding="utf-8").splitlines()
        self.faults.update(lines)
        self.counts["studies"] += 1
        self.counts["trainings begun"] += len(begun)
        self.counts["finished"] += states["finished"]
        self.counts["failed, with the reason"] += states["failed"]
        self.counts["lost"] += len(begun - records.keys() | forgotten)
        self.counts["trained to the end twice"] += n_lines(folder / "trained") - states["finished"]
        self.counts["found settings of another training"] += n_lines(folder / "polluted")

    def tables(self) -> str:
        """Both, in markdown."""
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
