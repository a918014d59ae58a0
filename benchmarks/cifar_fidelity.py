"""What a proxy's ranking is worth, and how the best learning rate follows the width."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from benchmarks.cifar_table import (
    CONTROL,
    DENSITIES,
    EXPONENT,
    N_TWICE,
    PRUNER,
    Run,
    Table,
    exponents,
)
from benchmarks.cifar_training import EPOCHS
from proxyhpo._report.ranking import interval, kendall, overlap, regret, spearman

__all__ = ["Agreement", "Drift", "agreements", "best_rate", "drift", "rates_and_values"]

Floats = npt.NDArray[np.float64]
Measure = Callable[[Floats, Floats], Floats]
TOP = 0.4  # of the configs, by the full network's accuracy
RESAMPLES = 1000


Triple = tuple[float, float, float]
"""A figure and its 95 % interval."""


@dataclass(frozen=True)
class Agreement:
    """How far a cheap training's validation accuracy agrees with the full network's.

    Args:
        name: of what is cheap.
        n: configs.
        measures: name → figure.
    """

    name: str
    n: int
    measures: Mapping[str, Triple]


MEASURES: dict[str, Measure] = {
    "Spearman": spearman,
    "Spearman, top 40 %": lambda x, y: _among_top(spearman, x, y),
    "Kendall": kendall,
    "best 20 % in common": lambda x, y: overlap(x, y, math.ceil(0.2 * x.shape[-1])),
    "regret of the best 3, points": lambda x, y: 100 * regret(x, y, 3),
}


def agreements(table: Table) -> list[Agreement]:
    """Of each proxy, of short trainings, and of the full network under another seed.

    What is compared with is the full network's first training. Only those configs count for
    another seed, and for its first epochs, that had one whatever they were worth.
    """
    found = []
    for density in DENSITIES:
        for exponent in exponents(density):
            how = f"exponent {exponent:g}" if exponent else "lr as is"
            found.append(_agreement(f"{density:g}, {how}", table, Run(0, density, exponent)))
    control = Run(0, min(DENSITIES), EXPONENT, pruner=CONTROL)
    found.append(_agreement(f"{control.density:g}, channels at random", table, control))
    twice = {number: runs for number, runs in table.items() if number < N_TWICE}
    for epoch in range(1, EPOCHS + 1):
        name = f"1, another seed, {epoch} of {EPOCHS} epochs"
        found.append(_agreement(name, twice, Run(0, seed=1), epoch))
    return found


def _agreement(name: str, table: Table, like: Run, epoch: int = EPOCHS) -> Agreement:
    cheap, dear = [], []
    for number, runs in table.items():
        row = runs[replace(like, number=number)]
        cheap.append(-row.validation[min(epoch, len(row.validation)) - 1])
        dear.append(-runs[Run(number)].value)
    x, y = np.array(cheap), np.array(dear)
    measures = {name: (float(m(x, y)), *interval(m, x, y)) for name, m in MEASURES.items()}
    return Agreement(name, len(x), measures)


def _among_top(measure: Measure, x: Floats, y: Floats) -> Floats:
    """Among those configs with which the full network is best."""
    n = math.ceil(TOP * y.shape[-1])
    best = np.argsort(y, axis=-1, kind="stable")[..., :n]
    return measure(np.take_along_axis(x, best, -1), np.take_along_axis(y, best, -1))


@dataclass(frozen=True)
class Drift:
    """How the best learning rate follows the width.

    Args:
        best: density → the best learning rate, and its 95 % interval.
        exponent: of the width ratio, that fits them best, and its 95 % interval.
    """

    best: Mapping[float, Triple]
    exponent: Triple


def drift(table: Table) -> Drift:
    """Fits the best learning rate at each density, and a power law through them.

    The interval is a bootstrap over configs, each with all of its trainings.
    """
    numbers = list(table)
    densities = sorted({run.density for runs in table.values() for run in runs})
    width = {density: _width_ratio(table, density) for density in densities}

    def fitted(drawn: Sequence[int]) -> Floats:
        rates = [best_rate(*rates_and_values(table, density, drawn)) for density in width]
        slope = np.polyfit(np.log(list(width.values())), np.log(rates), 1)[0]
        return np.array([*rates, slope])

    rng = np.random.default_rng(0)
    resampled = [fitted(rng.choice(numbers, len(numbers)).tolist()) for _ in range(RESAMPLES)]
    low, high = np.quantile(resampled, [0.025, 0.975], axis=0)
    each = zip(fitted(numbers), low, high, strict=True)
    triples = [(float(middle), float(least), float(most)) for middle, least, most in each]
    return Drift(dict(zip(width, triples[:-1], strict=True)), triples[-1])


def rates_and_values(table: Table, density: float, numbers: Sequence[int]) -> tuple[Floats, Floats]:
    """The learning rates that were really trained with at a density, and what came of them.

    Of SGD, the effective ones, lr / (1 - momentum): they say better how far a step goes.
    """
    found = []
    for number in numbers:
        for run, row in table[number].items():
            if run.density == density and run.pruner == PRUNER:
                rate = row.config["lr"] * row.width_ratio**run.exponent
                rate /= 1 - row.config.get("momentum", 0.0)
                found.append((rate, row.value))
    rates, values = np.array(found).T
    return rates, values


def best_rate(rates: Floats, values: Floats) -> float:
    """Where a quadratic in log lr through the better half is highest, within their range."""
    better = values >= np.median(values)
    x = np.log(rates[better])
    degree = min(2, len(np.unique(x)) - 1)  # a resample of a small table may hold few of them
    if degree == 0:
        return float(np.exp(x[0]))
    curve = np.polynomial.Polynomial.fit(x, values[better], degree)
    grid = np.linspace(x.min(), x.max(), 200)
    return float(np.exp(grid[np.argmax(curve(grid))]))


def _width_ratio(table: Table, density: float) -> float:
    rows = next(iter(table.values())).values()
    return next(row.width_ratio for row in rows if row.density == density)
