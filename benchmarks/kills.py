"""Kills studies at random times, and checks that only the running trainings are lost.

    python benchmarks/kills.py --kills 200

For each searcher, a study is killed with SIGKILL at random times and resumed from its store until
it is complete. Then the next study starts, until there have been enough kills. The studies are
forked from this process, which has imported everything, so a kill takes less than a second. When a
training starts, and when a callback receives its record, a line is appended to a file. A kill
cannot undo that.

The command prints a markdown table: how many records were lost after a callback had received them,
how many trainings ran again after that (both must be 0), how many trainings were cut short, and
whether the results (each config, each value, the best network's weights) equal those of a study
that was never killed.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import nn

from proxyhpo import Choice, Float, Int, ProxyHPO, Rung
from proxyhpo._records.records import Record
from proxyhpo._report.result import Result

SPACE = {
    "lr": Float(1e-4, 1, log=True),
    "layers": Int(1, 4),
    "optimizer": Choice(["sgd", "adam"]),
    "momentum": Float(0, 0.9, step=0.1, when=("optimizer", "sgd")),
}
LADDER = [Rung(0.25, keep=3), Rung(0.5, keep=2), Rung(1)]
SEARCHERS = ("random", "grid", "tpe", "bayesian")
TRIALS = 12


def build() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 2))


def train(network: nn.Module, config: dict[str, Any]) -> Iterator[float]:
    """Records its start, identified by a random number, and changes the weights."""
    noise = torch.rand(()).item()
    Journal.current.note("began", repr(noise))
    yield noise
    for step in range(3):
        time.sleep(0.002)  # so that kills hit trainings
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(config["lr"] * torch.randn_like(parameter))
        yield noise - config["lr"] - step * config.get("momentum", 0.5)


class Journal:
    """Lines in a file. Each is appended by a single write, which a kill cannot undo."""

    current: Journal

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY)
        self._path = path

    def note(self, kind: str, training: str) -> None:
        """Adds a line."""
        os.write(self._file, f"{kind} {training}\n".encode())

    def lines(self) -> list[tuple[str, str]]:
        """(kind, training) of every line so far."""
        lines = (line.split() for line in self._path.read_text().splitlines())
        return [(kind, training) for kind, training in lines]

    def close(self) -> None:
        """Closes the file."""
        os.close(self._file)


def study(searcher: str, store: Path | None, callback: Callable[[Record], None]) -> ProxyHPO:
    return ProxyHPO(
        build,
        train,
        SPACE,
        example_inputs=torch.zeros(8, 6),
        direction="maximize",
        ladder=LADDER,
        searcher=searcher,
        store=store,
        callbacks=[callback],
        progress=False,
    )


def training_of(record: Record) -> str:
    """An identifier of a training, which is the same if the training runs again."""
    return repr(record.reports[0].value)


def found(result: Result) -> tuple[Any, ...]:
    """Everything that a study found, for comparison."""
    records = sorted(
        (r.trial, r.rung, str(r.config), str(r.trained_config), r.reports) for r in result.records
    )
    weights = {k: v.tolist() for k, v in result.best_network().state_dict().items()}
    return records, result.best_config, result.best_value, weights


def victim(searcher: str, folder: Path) -> NoReturn:
    """Runs the study in a forked process, which then exits directly."""
    try:
        journal = Journal.current
        study(searcher, folder / "study.db", lambda r: journal.note("done", training_of(r))).run(
            TRIALS
        )
        os._exit(0)
    except BaseException:  # noqa: BLE001 - the exit status tells the parent
        traceback.print_exc()
        os._exit(1)


def killed(searcher: str, folder: Path, moment: float) -> bool:
    """Runs a study and kills it after this many seconds; returns whether it was still running."""
    child = os.fork()
    if child == 0:
        victim(searcher, folder)
    deadline = time.monotonic() + moment
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            break
        time.sleep(0.001)
    else:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    if status not in (0, signal.SIGKILL):
        sys.exit(f"a resumed study failed, status {status}")
    return status == signal.SIGKILL


@dataclass
class Tally:
    """The results of one searcher's kills."""

    kills: int = 0
    studies: int = 0
    records: int = 0
    lost: int = 0
    repeated: int = 0
    cut_short: int = 0
    equal: bool = True

    def add(self, searcher: str, folder: Path, reference: tuple[Any, ...], kills: int) -> None:
        """Adds a complete study that was killed this many times."""
        result = study(searcher, folder / "study.db", lambda _: None).result
        stored = Counter(training_of(record) for record in result.records)
        began, done, again = 0, set(), 0
        for kind, training in Journal.current.lines():
            began += kind == "began"
            again += kind == "began" and training in done
            if kind == "done":
                done.add(training)
        self.kills += kills
        self.studies += 1
        self.records += len(result.records)
        self.lost += len(done - stored.keys())
        self.repeated += again + stored.total() - len(stored)
        self.cut_short += began - again - len(result.records)
        self.equal &= found(result) == reference


def tally(searcher: str, kills: int, moments: random.Random, until: float) -> Tally:
    """Kills studies with a searcher until there have been enough kills, or time is up."""
    done = Tally()
    with tempfile.TemporaryDirectory() as name:
        Journal.current = Journal(Path(name) / "uninterrupted")
        reference = found(study(searcher, None, lambda _: None).run(TRIALS))
        began = time.monotonic()  # of a second study, for which everything has been imported
        study(searcher, None, lambda _: None).run(TRIALS)
        lasts = time.monotonic() - began
        while done.kills < kills and time.monotonic() < until:
            folder = Path(name) / str(done.studies)
            folder.mkdir()
            Journal.current.close()
            Journal.current = Journal(folder / "journal")
            inflicted = 0
            while True:
                enough = done.kills + inflicted >= kills or time.monotonic() > until
                moment = 3600.0 if enough else moments.uniform(0, 0.6 * lasts)
                if not killed(searcher, folder, moment):
                    break
                inflicted += 1
            done.add(searcher, folder, reference, inflicted)
    return done


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200, help="over all searchers")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="no kills after that")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # a forked process has no other threads
    moments = random.Random(arguments.seed)
    began = time.monotonic()
    print("| searcher | kills | studies | records | records lost | run twice | cut short | equal |")
    print("|---|---|---|---|---|---|---|---|")
    bad = 0
    for number, searcher in enumerate(SEARCHERS, start=1):
        until = began + arguments.seconds * number / len(SEARCHERS)
        t = tally(searcher, -(-arguments.kills // len(SEARCHERS)), moments, until)
        print(
            f"| {searcher} | {t.kills} | {t.studies} | {t.records} | {t.lost} | {t.repeated} "
            f"| {t.cut_short} | {'yes' if t.equal else 'NO'} |",
            flush=True,
        )
        bad += t.lost + t.repeated + (not t.equal)
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
