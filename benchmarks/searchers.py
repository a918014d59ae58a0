"""Compares searchers on test functions and on tables of trained networks.

    python -m benchmarks.searchers [--repetitions 3] [--out searchers.jsonl] [--report-only]

Needs the extras ``bench``, ``optuna`` and ``cmaes``. Every searcher proposes one config at a time.
The value of a trial is computed by a public test function (from hyperopt and scikit-optimize), or
looked up in a table of full networks (HPOBench and HPOLib). Searchers are compared by the
normalised regret of the best of the first 15, 30 and 60 trials: 0 is the best value known, and 1 is
the median of random configs. Each finished search is one line of the file, so the command can be
interrupted and resumed. It writes docs/benchmarks/searchers.md.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from optuna.samplers import GPSampler, TPESampler

from benchmarks.pages import write_page
from benchmarks.rows import Rows
from benchmarks.tables import HPOBENCH, HPOLIB, Table, hpobench, hpolib
from proxyhpo import Config, Space
from proxyhpo.integrations.optuna import OptunaSearcher
from proxyhpo.searchers import (
    BayesianSearcher,
    CMAESSearcher,
    QMCSearcher,
    RandomSearcher,
    Searcher,
    TPESearcher,
)
from tests.searchers.functions import FUNCTIONS, search

COUNTS = (15, 30, 60)
SLOW = {"bayesian (scikit-optimize)", "Optuna's GP"}
"""Searchers whose proposals take so long that they stop at the second count."""

SEARCHERS: Mapping[str, Callable[[int], Searcher]] = {
    "random": lambda _: RandomSearcher(),
    "qmc": lambda seed: QMCSearcher(seed=seed),
    "tpe (hyperopt)": lambda _: TPESearcher(),
    "Optuna's TPE": lambda _: OptunaSearcher(TPESampler, multivariate=True),
    "cma-es": lambda _: CMAESSearcher(),
    "bayesian (scikit-optimize)": lambda _: BayesianSearcher(),
    "Optuna's GP": lambda _: OptunaSearcher(GPSampler),
}
"""Title → a searcher for a seed."""


@dataclass(frozen=True)
class Problem:
    """A space, the loss of a config in it, and the losses that measure regret.

    Args:
        name: of the problem.
        kind: ``"function"`` or ``"table"``.
        space: the space that is searched.
        loss: a function of a config and of a generator for the noise; lower is better.
        best: the lowest loss known.
        median: the median loss of random configs.
    """

    name: str
    kind: str
    space: Space
    loss: Callable[[Config, np.random.Generator], float]
    best: float
    median: float

    def regrets(self, losses: Sequence[float]) -> list[float]:
        """The normalised regret of the best of the first trials, for each of the counts."""
        scale = self.median - self.best
        counts = [count for count in COUNTS if count <= len(losses)]
        return [max(0.0, (min(losses[:count]) - self.best) / scale) for count in counts]


def problems() -> list[Problem]:
    """The functions without much noise, and a table of each data set."""
    functions = [
        _measured(name, "function", function.space, function.loss)
        for name, function in FUNCTIONS.items()
        if name not in {"n_arms", "gauss_wave2"}  # their lowest value is mostly noise
    ]
    tables = [hpobench(name)[1] for name in HPOBENCH] + [hpolib(name)[0] for name in HPOLIB]
    return functions + [_table(table) for table in tables]


def _table(table: Table) -> Problem:
    seeds = range(table.values.shape[-1])

    def loss(config: Config, _: np.random.Generator) -> float:
        return table.quality(config, seeds)

    return _measured(table.name, "table", Space(table.space), loss)


def _measured(name: str, kind: str, space: Space, loss: Callable[..., float]) -> Problem:
    """Samples the space for the median, and for the best loss unless a better one is known."""
    rng = np.random.default_rng(0)
    losses = [loss(space.sample(rng), rng) for _ in range(2000)]
    known = {"quadratic1": 0.0, "q1_lognormal": 0.0, "distractor": -2.0, "branin": 0.397887,
             "hart6": -3.32237}  # fmt: skip
    return Problem(name, kind, space, loss, known.get(name, min(losses)), float(np.median(losses)))


def run(rows: Rows, repetitions: int, problems: Sequence[Problem]) -> None:
    """Adds the searches that are missing; the cheap searchers first."""
    for repetition in range(repetitions):
        for title, make in SEARCHERS.items():
            for problem in problems:
                of = {"problem": problem.name, "searcher": title, "repetition": repetition}
                if rows.get(of) is None:
                    rows.add(of, {"kind": problem.kind, **_search(problem, make(repetition), of)})


def _search(problem: Problem, searcher: Searcher, of: Mapping[str, Any]) -> dict[str, Any]:
    began = time.process_time()
    n_trials = COUNTS[1 if of["searcher"] in SLOW else -1]
    history = search(searcher, problem.space, problem.loss, n_trials, seed=int(of["repetition"]))
    losses = [trial.loss for trial in history.trials if trial.loss is not None]
    return {
        "regrets": problem.regrets(losses),
        "seconds": (time.process_time() - began) / len(history.trials),
    }


def report(rows: Rows) -> list[str]:
    """A table for each kind: the mean regret over problems of the median over repetitions."""
    found = [{**of, **row} for of, row in rows.items()]
    lines = []
    for kind, words in (("table", "Tables of trained networks"), ("function", "Test functions")):
        of_kind = [row for row in found if row["kind"] == kind]
        n_problems = len({row["problem"] for row in of_kind})
        head = " | ".join(f"{count} trials" for count in COUNTS)
        lines += [
            f"## {words}",
            "",
            f"{n_problems} problems; `n` searches in all.",
            "",
            f"| searcher | n | {head} | better than random | a proposal (CPU) |",
            "|---|" + "---|" * (len(COUNTS) + 3),
            *(_line(title, of_kind) for title in SEARCHERS),
            "",
        ]
    return lines


def _line(title: str, rows: Sequence[Mapping[str, Any]]) -> str:
    own, random = _medians(title, rows), _medians("random", rows)
    shared = sorted(own.keys() & random.keys())
    if not shared:
        return f"| {title} | " + "- | " * (len(COUNTS) + 3)
    mean = np.mean([own[problem] for problem in shared], axis=0)
    wins = np.mean([own[problem][1] < random[problem][1] for problem in shared])
    seconds = [row["seconds"] for row in rows if row["searcher"] == title]
    cells = [f"{regret:.3f}" for regret in mean] + ["-"] * (len(COUNTS) - len(mean))
    figures = [title, str(len(seconds)), *cells, f"{wins:.0%}", f"{1000 * np.mean(seconds):.0f} ms"]
    return f"| {' | '.join(figures)} |"


def _medians(title: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Problem → the median over repetitions, for each count."""
    by_problem: dict[str, list[list[float]]] = {}
    for row in rows:
        if row["searcher"] == title:
            by_problem.setdefault(row["problem"], []).append(row["regrets"])
    return {problem: np.median(regrets, axis=0) for problem, regrets in by_problem.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/data/searchers.jsonl"))
    parser.add_argument("--report-only", action="store_true", help="search nothing")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    rows = Rows(arguments.out)
    if not arguments.report_only:
        run(rows, arguments.repetitions, problems())
    page = Path("docs/benchmarks/searchers.md")
    write_page(page, "python -m benchmarks.searchers", report(rows), "Searchers compared")


if __name__ == "__main__":
    main()
