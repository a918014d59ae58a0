"""Measures on tables what a search costs, and how good the config is that it finds.

    python -m benchmarks.tabular [--repetitions 51] [--out results.jsonl] [--report-only]

Needs the extra ``bench``. Every search runs through the engine. The results and durations of
trainings are looked up in a table of published trainings. A repetition draws configs and an order
of the table's seeds, which are the same for all strategies. Searches use the first two seeds. The
others judge the config that was found, on the full network. Each finished search is one line of the
file, so the command can be resumed. Its first run starts from the results in the repository. It
writes its tables and figure to docs/benchmarks.
"""

from __future__ import annotations

import argparse
import json
import lzma
import warnings
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.replay import FULL, TOP, Strategy, decisions, replay, three, two
from benchmarks.tables import HPOBENCH, HPOLIB, Table, Training, hpobench, hpolib
from benchmarks.tabular.report import Outcome, write_report
from proxyhpo import Result, Rung
from proxyhpo._records.records import Config

N_TRIALS = (30, 100)


def four(**options: Any) -> Strategy:
    """Successive halving over widths; each training starts from scratch."""
    rungs = [Rung(1 / 64, keep=8), Rung(1 / 16, keep=4), Rung(1 / 4, keep=2)]
    return Strategy([*rungs, TOP], **options)


STRATEGIES = {
    "full": FULL,
    "full, seeds swapped": Strategy(FULL.ladder, "identity", swapped=True),
    "1/64, lr as is": two(1 / 64, transfer="identity"),
    "1/64 (8), 1/16 (4), 1/4 (2), lr as is": four(transfer="identity"),
    "1/64 (8), 1/16 (4), 1/4 (2)": four(),
    "1/16, lr as is": two(1 / 16, transfer="identity"),
    "1/16": two(1 / 16),
    "1/10": two(1 / 10),
    "1/6": two(1 / 6.3),
    "1/4": two(1 / 4),
    "1/16 (6), 1/4 (2)": three(1 / 16, 6, 1 / 4, 2),
    "1/16 (6), 1/4 (3)": three(1 / 16, 6, 1 / 4, 3),
    "1/16 (5), 1/6 (2)": three(1 / 16, 5, 1 / 6.3, 2),
    "1/10 (6), 1/4 (2)": three(1 / 10, 6, 1 / 4, 2),
    "1/10 (6), 1/2.5 (2)": three(1 / 10, 6, 1 / 2.5, 2),
}


def search(
    table: Table, strategy: Strategy, configs: Sequence[Config], seeds: Sequence[int]
) -> Result:
    """One search through the engine."""
    first, second = seeds[1::-1] if strategy.swapped else seeds[:2]
    training = Training(table, (first, second))
    return replay(training, table.space, table.direction, strategy, configs)


def repetition(table: Table, number: int, n_trials: int, title: str) -> dict[str, Any]:
    """The results of a strategy. All strategies get the same configs and seeds."""
    name = [ord(letter) for letter in table.name]
    rng = np.random.default_rng([number, n_trials, *name])
    configs = table.draw(n_trials, rng)
    seeds = [int(seed) for seed in rng.permutation(table.values.shape[-1])]
    strategy = STRATEGIES[title]
    found = decisions(search(table, strategy, configs, seeds), strategy)
    return {
        "table": table.name,
        "data_set": table.data_set,
        "repetition": number,
        "n_trials": n_trials,
        "strategy": title,
        "decisions": {
            decision: [table.quality(config, seeds[2:]), seconds]
            for decision, (config, seconds) in found.items()
        },
    }


def run(data_sets: Sequence[Sequence[Table]], repetitions: int, path: Path) -> None:
    """Adds the missing results to the file.

    Args:
        data_sets: the tables of each data set; repetitions use them in turn.
        repetitions: number of repetitions for each data set.
        path: of the file.
    """
    done = {(o.table, o.repetition, o.n_trials, o.strategy) for o in read(path)}
    with path.open("a") as file:
        file.write("\n")  # the last line may have been cut
        for number, tables, n_trials, title in product(
            range(repetitions), data_sets, N_TRIALS, STRATEGIES
        ):
            table = tables[number % len(tables)]
            if (table.name, number, n_trials, title) not in done:
                file.write(json.dumps(repetition(table, number, n_trials, title)) + "\n")
                file.flush()


def read(path: Path) -> list[Outcome]:
    """The searches that have finished."""
    outcomes = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            search = json.loads(line)
        except json.JSONDecodeError:  # cut when the command was killed
            continue
        if search["strategy"] not in STRATEGIES:  # of another version of this command
            continue
        for decision, (loss, seconds) in search.pop("decisions").items():
            title = search["strategy"] + (f": {decision}" if decision else "")
            outcomes.append(Outcome(**{**search, "strategy": title}, loss=loss, seconds=seconds))
    return outcomes


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tabular", description=__doc__)
    parser.add_argument("--repetitions", type=int, default=51, help="for each data set")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/data/tabular.jsonl"))
    parser.add_argument("--report-only", action="store_true", help="train nothing")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("error")
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    packed = arguments.out.with_name(f"{arguments.out.name}.xz")
    if packed.exists() and not arguments.out.exists():  # the results in the repository
        arguments.out.write_bytes(lzma.decompress(packed.read_bytes()))
    if not arguments.report_only:
        data_sets = [*map(hpobench, HPOBENCH), *map(hpolib, HPOLIB)]
        run(data_sets, arguments.repetitions, arguments.out)
    write_report(read(arguments.out), Path("docs/benchmarks"))


if __name__ == "__main__":
    main()
