"""Compares proxyhpo with other libraries: which accuracy each search has after which time.

    OMP_NUM_THREADS=1 python -m benchmarks.peers --data cifar10.npz  # 2 to 3 core-hours a seed
    OMP_NUM_THREADS=1 python -m benchmarks.peers --data cifar10.npz --task language --seeds 3 4
    python -m benchmarks.peers --report

Three tasks (see ``benchmarks.peers.tasks``) are searched by proxyhpo, Optuna's TPE, its GP, its
TPE with Hyperband, random search, scikit-optimize, hyperopt, and a simple cheap baseline: one epoch
for every config and a full training for the three best. They share the training code, but each uses
its own loop. All train the same number of configs (``--trials``), except Hyperband, whose trials
are shorter and which trains for the same number of epochs. Proxyhpo, whose trials are cheap, also
searches with twice as many, and for as many full trainings as there are trials.

All seconds of a search are charged, including those between its trainings. They are CPU seconds, so
other processes do not count. A search is judged by the config that it would have returned after
several fractions of the time of Optuna's TPE, and at its own end: the config with the highest
validation accuracy of a full training so far, or of the mean over seeds where a library trains a
config under several. That config is trained again under seeds that no search has used, and tested.

Each search and each test is a line of the results file, so the command can be killed and resumed.
Libraries that are not installed are skipped.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path

import torch

from benchmarks.pages import write_page
from benchmarks.peers.loops import PEERS, Loop
from benchmarks.peers.report import FRACTIONS, REFERENCE, Search, draw, report
from benchmarks.peers.tasks import PROBLEMS, Clock, Problem, load_problem
from benchmarks.rows import Row, Rows
from proxyhpo import Config


def search(problem: Problem, loop: Loop, trials: int, seed: int) -> Row:
    """The configs that a search would have returned, with times, and its duration."""
    incumbents: list[Row] = []
    trainings, highest = 0, -math.inf
    problem = replace(problem, clock=Clock())
    began = time.process_time()

    def note(config: Config, value: float, best: Config | None = None) -> None:
        nonlocal trainings, highest
        trainings += 1
        if best is None and value > highest:
            best, highest = config, value
        if best is not None and (not incumbents or best != incumbents[-1]["config"]):
            incumbents.append({"seconds": time.process_time() - began, "config": dict(best)})

    loop(problem, trials, seed, note)
    return {
        "incumbents": incumbents,
        "seconds": time.process_time() - began,
        "in_trainings": problem.clock.seconds,
        "chance": problem.chance,
        "full_trainings": trainings,
    }


@dataclass(frozen=True)
class Experiment:
    """The searches of one task.

    Args:
        task: its name.
        trials: of each search.
        fresh: number of seeds with which a config is tested.
        rows: what has been measured.
    """

    task: str
    trials: int
    fresh: int
    rows: Rows

    def run(self, problem: Problem, loops: Mapping[str, Loop], seed: int) -> None:
        """Runs the missing searches of a seed, and tests what they would have returned."""
        for name, loop in loops.items():
            of = self._search_of(name, seed)
            if self.rows.get(of) is None:
                found = self.rows.add(of, search(problem, loop, self.trials, seed))
                print(
                    f"{self.task}, seed {seed}, {name}: {found['seconds']:.0f} s", file=sys.stderr
                )
        for name in loops:
            for config in self._judged(name, seed):
                for fresh in range(self.fresh):
                    test = self._test_of(config, fresh)
                    if self.rows.get(test) is None:
                        self.rows.add(test, {"accuracy": problem.quality(config, fresh)})

    def finished(self, names: Sequence[str]) -> dict[str, list[Search]]:
        """Peer → its searches, of the seeds for which all of these peers have been tested."""
        seeds = {
            of["seed"]
            for of, _ in self.rows.items()
            if of.get("task") == self.task and "seed" in of
        }
        found: dict[str, list[Search]] = {name: [] for name in names}
        for seed in sorted(seeds):
            own = {name: self._read(name, seed) for name in names}
            if None not in own.values():
                for name, each in own.items():
                    assert each is not None
                    found[name].append(each)
        return found

    def _search_of(self, peer: str, seed: int) -> Row:
        return {"task": self.task, "peer": peer, "seed": seed, "trials": self.trials}

    def _test_of(self, config: Config, fresh: int) -> Row:
        return {"task": self.task, "config": config, "fresh": fresh}

    def _moments(self, seed: int) -> list[float]:
        """Seconds after which searches are judged; none before the reference has run."""
        row = self.rows.get(self._search_of(REFERENCE, seed))
        return [] if row is None else [fraction * row["seconds"] for fraction in FRACTIONS]

    def _judged(self, peer: str, seed: int) -> Iterator[Config]:
        """The configs that a search would have returned at the judged times and its end."""
        row = self.rows.get(self._search_of(peer, seed)) or {"incumbents": []}
        places = [_place(row, moment) for moment in (*self._moments(seed), float("inf"))]
        for place in dict.fromkeys(places):
            if place is not None:
                yield row["incumbents"][place]["config"]

    def _read(self, peer: str, seed: int) -> Search | None:
        """A search that is complete and tested."""
        row, moments = self.rows.get(self._search_of(peer, seed)), self._moments(seed)
        if row is None or not moments:
            return None
        tested = [self._accuracy(row, moment) for moment in (*moments, float("inf"))]
        known = [each for each in tested if each is not None]
        if len(known) < len(tested):
            return None
        return Search(
            accuracies=known[:-1],
            end=known[-1],
            seconds=row["seconds"] / moments[-1],
            outside=1 - row["in_trainings"] / row["seconds"],
            first=row["incumbents"][0]["seconds"] / moments[-1],
            full_trainings=row["full_trainings"],
        )

    def _accuracy(self, row: Row, moment: float) -> float | None:
        """Mean test accuracy of what would have been returned; None if it has not been tested.

        Before there is a result, it is that of chance.
        """
        place = _place(row, moment)
        if place is None:
            return float(row["chance"])
        config = row["incumbents"][place]["config"]
        tests = [self.rows.get(self._test_of(config, fresh)) for fresh in range(self.fresh)]
        known = [test["accuracy"] for test in tests if test is not None]
        return sum(known) / len(known) if len(known) == self.fresh else None


def _place(row: Row, moment: float) -> int | None:
    """The place of the incumbent at a time; None before the first one."""
    before = [i for i, each in enumerate(row["incumbents"]) if each["seconds"] <= moment]
    return before[-1] if before else None


def installed(names: Sequence[str]) -> dict[str, Loop]:
    """Peer → its loop; prints which libraries are missing."""
    import_module("torch._dynamo")  # else the first optimizer would, in the time of one search
    loops = {}
    for name in names:
        try:
            loops[name] = PEERS[name]()
        except ModuleNotFoundError as error:  # noqa: PERF203 - ten times
            print(f"{name} is left out: {error}", file=sys.stderr)
    return loops


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, help="an .npz, or a folder; text needs none")
    parser.add_argument("--task", nargs="+", choices=list(PROBLEMS), default=list(PROBLEMS))
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(20)))
    parser.add_argument("--fresh", type=int, default=5, help="seeds with which a config is tested")
    parser.add_argument("--peers", nargs="+", choices=list(PEERS), default=list(PEERS))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/data/peers.jsonl"))
    parser.add_argument("--report", action="store_true", help="search nothing, write the page")
    parser.add_argument("--page", type=Path, default=Path("docs/benchmarks/peers.md"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = Rows(arguments.out)
    experiments = {
        task: Experiment(task, arguments.trials, arguments.fresh, rows) for task in arguments.task
    }
    if not arguments.report:
        loops = installed(arguments.peers)
        problems = {task: load_problem(task, arguments.data) for task in experiments}
        for seed in arguments.seeds:
            for task, experiment in experiments.items():
                experiment.run(problems[task], loops, seed)
    found = {task: each.finished(arguments.peers) for task, each in experiments.items()}
    others = {
        peer: {task: each.finished([REFERENCE, peer]) for task, each in experiments.items()}
        for peer in PEERS
        if peer not in arguments.peers
    }
    lines = list(report(found, others))
    print("\n".join(lines))
    if arguments.report and any(any(each.values()) for each in found.values()):
        page = arguments.page
        draw(found, page.with_suffix(".png"))
        figure = f"![regret against time]({page.stem}.png)"
        write_page(page, "python -m benchmarks.peers --report", [figure, "", *lines], "Peers")


if __name__ == "__main__":
    main()
