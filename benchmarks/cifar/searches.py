"""Compares searches on the tables, in random samples of the configs."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.cifar.replays import Level, Search, Trainings, full, replayed
from benchmarks.cifar.steps import Costs
from benchmarks.cifar.table import EXPONENT, JUDGE, SECOND_LOOK, Table
from benchmarks.tabular.report import REFERENCE, Outcome
from proxyhpo.stoppers import ASHAStopper, MedianStopper

__all__ = [
    "DEFAULT",
    "LADDERS",
    "N_TRIALS",
    "POWER_LAW",
    "SHORT",
    "outcomes",
    "sample_size",
    "samples",
    "searches",
]

N_TRIALS = 60
POWER_LAW = "1/8 (6), 1/2 (2), median, power law"
"""The default of version 0.1."""
DEFAULT = "1/8 (4), early, median, repeats"
"""The default of ``ProxyHPO`` in searches of 40 trials or more."""


def ladder(*levels: tuple[float, int], **options: Any) -> Search:
    """A search on rungs given as (1 / density, number of promoted trials)."""
    return replace(Search([Level(1 / part, keep) for part, keep in levels]), **options)


MEDIAN = MedianStopper()
SHORT = {
    f"1/8 ({keep}), early, median": ladder((8, keep), early=(8, 16)[: keep // 2], stopper=MEDIAN)
    for keep in (1, 2, 3, 4)
}
"""The default with other numbers of finalists, up to half of them early."""
LADDERS: dict[str, Search] = {
    **{f"1/{part} ({keep})": ladder((part, keep))
       for part in (16, 12, 8, 4) for keep in (1, 2, 3, 4, 6, 8)},
    **{f"1/{part} (8), 1/4 (4)": ladder((part, 8), (4, 4)) for part in (16, 8)},
    **{f"1/{part} (8), 1/2 (4)": ladder((part, 8), (2, 4)) for part in (16, 8)},
    "1/8 (6), 1/2 (2)": ladder((8, 6), (2, 2)),
    **{f"1/{part} (4), median": ladder((part, 4), stopper=MEDIAN) for part in (16, 8, 4)},
    "1/8 (3), median": ladder((8, 3), stopper=MEDIAN),
    "1/8 (4), asha": ladder((8, 4), stopper=ASHAStopper()),
    "1/8 (4), early": ladder((8, 4), early=(8, 16)),
    **SHORT,
    DEFAULT: ladder((8, 4), early=(8, 16), stopper=MEDIAN, second_seeds=True),
    "1/8 (3), repeats": ladder((8, 3), second_seeds=True),
    "1/8 (4), repeats": ladder((8, 4), second_seeds=True),
    "1/8 (3), median, repeats": ladder((8, 3), stopper=MEDIAN, second_seeds=True),
    "1/8 (4), median, repeats": ladder((8, 4), stopper=MEDIAN, second_seeds=True),
}  # fmt: skip
"""Ladders among which one is chosen. In brackets: how many trials are promoted from a rung."""


def searches(n: int) -> dict[str, Search]:
    """Name → search strategy for n configs.

    Successive halving promotes a third of the configs after one epoch and a ninth after two (ASHA,
    arXiv:1810.05934, with one worker). The baseline of arXiv:2307.15422 promotes the best three
    after one epoch. Both are also run on fewer configs, so that they cost about as much as the
    default.
    """
    return {
        "full, median": Search([Level(1, n)], stopper=MEDIAN, second_seeds=True),
        "1 epoch": Search([Level(1, 3, epochs=1)]),
        "1 epoch, of 2 in 5 configs": Search([Level(1, 3, epochs=1)], share=0.4),
        "successive halving of epochs": halving(n),
        "successive halving of epochs, of 1 in 3 configs": halving(n, share=1 / 3),
        **LADDERS,
        "1/8 (4), as it is": ladder((8, 4), rule=""),
        "1/8 (4), power law": ladder((8, 4), rule="", exponent=EXPONENT),
        POWER_LAW: ladder((8, 6), (2, 2), rule="", exponent=EXPONENT, stopper=MEDIAN),
    }


def halving(n: int, share: float = 1.0) -> Search:
    third, ninth = (max(3, math.ceil(share * n / part)) for part in (3, 9))
    return Search([Level(1, third, epochs=1), Level(1, ninth, epochs=2)], share=share)


def quality(runs: Trainings, used: Sequence[int]) -> float:
    """Test accuracy of the full network under seeds that no search uses for its decisions.

    Configs far from the best may lack such seeds; all their seeds are used then.
    """
    of_seed = {run.seed: row.test for run, row in runs.items() if run.density == 1}
    judges = [test for seed, test in of_seed.items() if seed >= JUDGE]
    fresh = judges or [test for seed, test in of_seed.items() if seed not in used]
    return float(np.mean(fresh or list(of_seed.values())))


def sample_size(table: Table) -> int:
    """Size of a sample: half of the table, so that two samples can be disjoint."""
    return min(N_TRIALS, len(table) // 2)


def samples(net: str, table: Table, n: int, repetitions: int) -> Iterator[list[Trainings]]:
    """Random samples of the configs; consecutive ones are disjoint if the table is large enough."""
    for number in range(repetitions):
        split, half = divmod(number, 2) if 2 * n <= len(table) else (number, 0)
        order = np.random.default_rng([split, *map(ord, net)]).permutation(list(table))
        yield [table[int(i)] for i in order[half * n : (half + 1) * n]]


def outcomes(
    net: str,
    table: Table,
    costs: Costs,
    repetitions: int,
    *,
    n: int,
    names: Collection[str] | None = None,
) -> list[Outcome]:
    """The outcome of each search in each random sample; the samples are the same for all searches.

    Args:
        net: name of the network.
        table: its trainings.
        costs: of its steps.
        repetitions: samples.
        n: configs in each.
        names: of searches; by default all whose trainings the table has, if their steps were timed.
    """
    found = []
    known = {
        name: search
        for name, search in searches(n).items()
        if (names is None or name in names)
        and search.is_known(table)
        and all(costs.knows(net, level.density) for level in search.levels)
    }
    for repetition, sample in enumerate(samples(net, table, n, repetitions)):
        results = full(sample, costs)
        for name, search in known.items():
            results[name] = replayed(search, sample, costs)
        for name, each in results.items():
            again = name == REFERENCE or (name in known and known[name].second_seeds)
            used = (0, SECOND_LOOK) if again else (0,)
            loss = 1 - quality(sample[each.number], used)
            found.append(Outcome(net, net, repetition, n, name, loss, each.seconds))
    return found
