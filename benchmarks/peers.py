"""What a user would pick instead, live: how soon each search finds what Optuna's finds.

    OMP_NUM_THREADS=1 python -m benchmarks.peers --data cifar10.npz --trials 40 --seeds 10
    OMP_NUM_THREADS=1 python -m benchmarks.peers                      # scikit-learn's digits

Proxyhpo with its defaults, Optuna's TPE with and without its Hyperband pruner, random search,
scikit-optimize and hyperopt search the same four hyperparameters of the same small convolutional
network, trained by the same code, each by its own loop; and so does the plainest of cheap searches,
an epoch for every config and a full training for the three best. All of them train as many
configs (``--trials``); Hyperband, whose trials are shorter, as many as take the epochs of that many
full trainings. Proxyhpo, whose trials are cheap, searches with 2.5 times as many, too.

All seconds of a search are charged, those between its trainings too; they are the processor's, so
that other processes do not count. The quality of the config that a search would have returned at a
moment (its best full training so far, by validation images) is the mean test accuracy of the full
network under seeds that no search has used. Nothing has been found before the first full training.

Each search is a line of the file of results; the command may be killed, and goes on where it was.
A library that is not installed is left out.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.images import read_cifar10, read_digits
from benchmarks.pages import write_page
from benchmarks.peers_loops import PEERS, Loop, Task
from benchmarks.peers_report import Search, draw, table
from benchmarks.rows import Row, Rows
from proxyhpo import Config
from proxyhpo._records.records import config_key

SIZES = {"train": 600, "validation": 600, "test": 3000}
EPOCHS = 9  # three brackets of Hyperband's
WIDTH = 96


def search(task: Task, loop: Loop, trials: int, seed: int) -> Row:
    """The configs that a search would have returned, from when on, and how long it took."""
    incumbents: list[Row] = []
    trainings = 0
    began = time.process_time()

    def note(config: Config, value: float) -> None:
        nonlocal trainings
        trainings += 1
        if not incumbents or value > incumbents[-1]["validation"]:
            seconds = time.process_time() - began
            incumbents.append({"seconds": seconds, "config": dict(config), "validation": value})

    loop(task, trials, seed, note)
    seconds = time.process_time() - began
    return {"incumbents": incumbents, "seconds": seconds, "full_trainings": trainings}


@dataclass(frozen=True)
class Experiment:
    """What all searches have in common.

    Args:
        task: what is searched.
        trials: of each search.
        fresh: how many seeds decide what a config is worth.
    """

    task: Task
    trials: int
    fresh: int

    def row_of(self, peer: str, seed: int) -> Row:
        """What a row of the file is of."""
        return {
            "peer": peer,
            "seed": seed,
            "trials": self.trials,
            "fresh": self.fresh,
            "data": self.task.images.name,
            "images": len(self.task.images.train[1]),
            "width": self.task.width,
            "epochs": self.task.epochs,
        }

    def run(self, loops: Mapping[str, Loop], seeds: Sequence[int], rows: Rows) -> None:
        """Searches that are not in the file; peers take turns, so that all have the same seeds."""
        for seed in seeds:
            qualities: dict[str, float] = {}
            for name, loop in loops.items():
                of = self.row_of(name, seed)
                if rows.get(of) is None:
                    found = search(self.task, loop, self.trials, seed)
                    for incumbent in found["incumbents"]:
                        key = config_key(incumbent["config"])
                        if key not in qualities:
                            qualities[key] = self.task.quality(incumbent["config"], self.fresh)
                        incumbent["test"] = qualities[key]
                    rows.add(of, found)
                    print(f"seed {seed}, {name}: {found['seconds']:.0f} s", file=sys.stderr)

    def finished(self, names: Sequence[str], seeds: int, rows: Rows) -> dict[str, list[Search]]:
        """Peer → its searches, with the seeds for which all of these peers have one."""
        by_seed = [[rows.get(self.row_of(name, seed)) for name in names] for seed in range(seeds)]
        complete = [[row for row in own if row is not None] for own in by_seed if None not in own]
        return {
            name: [Search.from_row(own[place]) for own in complete]
            for place, name in enumerate(names)
        }


def installed(names: Sequence[str]) -> dict[str, Loop]:
    """Peer → its loop; says which libraries are missing."""
    loops = {}
    for name in names:
        try:
            loops[name] = PEERS[name]()
        except ModuleNotFoundError as error:  # noqa: PERF203 - seven times
            print(f"{name} is left out: {error}", file=sys.stderr)
    return loops


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="an .npz of 32x32 images; else the digits")
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument(
        "--only", type=int, nargs="+", help="of these seeds, so that processes can share them"
    )
    parser.add_argument("--fresh", type=int, default=3, help="seeds that decide on a config")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--width", type=int, default=WIDTH, help="channels of the first layer")
    parser.add_argument("--peers", nargs="+", choices=list(PEERS), default=list(PEERS))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/data/peers.jsonl"))
    parser.add_argument("--report", action="store_true", help="search nothing, write the page")
    parser.add_argument("--page", type=Path, default=Path("docs/benchmarks/peers.md"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    images = read_cifar10(arguments.data, **SIZES) if arguments.data else read_digits()
    task = Task(images, arguments.width, arguments.epochs)
    experiment = Experiment(task, arguments.trials, arguments.fresh)
    loops, rows = installed(arguments.peers), Rows(arguments.out)
    if not arguments.report:
        experiment.run(loops, arguments.only or range(arguments.seeds), rows)
    found = experiment.finished(list(loops), arguments.seeds, rows)
    lines = list(table(found))
    print("\n".join(lines))
    if arguments.report and any(found.values()):
        page = arguments.page
        draw(found, page.with_suffix(".png"))
        figure = f"![accuracy against time]({page.stem}.png)"
        write_page(page, "python -m benchmarks.peers --report", [*lines, "", figure], "# Peers")


if __name__ == "__main__":
    main()
