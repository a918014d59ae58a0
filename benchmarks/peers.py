"""Compares proxyhpo with other libraries: how soon each search is as good as Optuna's.

    OMP_NUM_THREADS=1 python -m benchmarks.peers --data cifar10.npz --trials 40 --seeds 10
    OMP_NUM_THREADS=1 python -m benchmarks.peers                      # scikit-learn's digits

Proxyhpo with its defaults, Optuna's TPE with and without its Hyperband pruner, random search,
scikit-optimize and hyperopt search the same four hyperparameters of the same small convolutional
network. They share the training code, but each uses its own loop. So does a simple cheap baseline:
one epoch for every config and a full training for the three best. All train the same number of
configs (``--trials``), except Hyperband, whose trials are shorter and which trains for the same
number of epochs. Proxyhpo, whose trials are cheap, also searches with 2.5 times as many.

All seconds of a search are charged, including those between its trainings. They are CPU seconds, so
other processes do not count. The quality of the config that a search would have returned at a given
time (its best full training so far, by validation images) is the mean test accuracy of the full
network under seeds that no search has used. Before the first full training there is no result.

Each search is a line of the results file, so the command can be killed and resumed. Libraries that
are not installed are skipped.
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
    """The configs that a search would have returned, with times, and its duration."""
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
    """What all searches share.

    Args:
        task: what is searched.
        trials: of each search.
        fresh: number of seeds with which a config is evaluated.
    """

    task: Task
    trials: int
    fresh: int

    def row_of(self, peer: str, seed: int) -> Row:
        """The description of a row of the file."""
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
        """Runs the missing searches; peers alternate, so that all have the same seeds."""
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
    """Peer → its loop; prints which libraries are missing."""
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
