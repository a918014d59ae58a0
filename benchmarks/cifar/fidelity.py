"""Measures how well proxies rank configs, and how the best learning rate depends on the width."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.cifar.rules import BY_NORMS, rule_of
from benchmarks.cifar.table import N_TWICE, SECOND_LOOK, Row, Run, Table
from proxyhpo._report.ranking import interval, kendall, overlap, regret, spearman

__all__ = [
    "MEASURES",
    "Agreement",
    "Triple",
    "agreement",
    "best_rate",
    "best_rates",
    "ceiling",
    "learning_rate",
    "net_of",
    "truth",
]

Floats = npt.NDArray[np.float64]
Measure = Callable[[Floats, Floats], Floats]
TOP = 0.4  # of the configs, by the full network's accuracy
RESAMPLES = 500

Triple = tuple[float, float, float]
"""A figure and its 95 % interval."""


@dataclass(frozen=True)
class Agreement:
    """How well the validation accuracy of a cheap training agrees with the full network's.

    Args:
        n: number of configs.
        measures: name → value with its interval.
    """

    n: int
    measures: Mapping[str, Triple]


MEASURES: dict[str, Measure] = {
    "Spearman": spearman,
    "Spearman, best 40 %": lambda x, y: _among_top(spearman, x, y),
    "Kendall": kendall,
    "best 20 % in common": lambda x, y: overlap(x, y, math.ceil(0.2 * x.shape[-1])),
    "regret of the best 4, points": lambda x, y: 100 * regret(x, y, 4),
}


def net_of(table: Table) -> str:
    """The name of the table's network."""
    return next(row.net for runs in table.values() for row in runs.values())


def truth(runs: Mapping[Run, Row]) -> float:
    """The validation accuracy of the full network, as the mean over its seeds."""
    return float(np.mean([row.value for run, row in runs.items() if run.density == 1]))


def agreement(table: Table, like: Run, numbers: Iterable[int] | None = None) -> Agreement | None:
    """The agreement of proxies with the full network; None if no config has such a proxy.

    Args:
        table: of a network.
        like: describes the training of the proxy; its config does not matter, and its rule may be
            ``BY_NORMS``.
        numbers: of configs to compare; by default all that have such a proxy.
    """
    cheap, dear = [], []
    like = replace(like, rule=rule_of(net_of(table), like.rule))
    for number in table if numbers is None else numbers:
        row = table[number].get(replace(like, number=number))
        if row is not None and Run(number) in table[number]:
            cheap.append(-row.value)
            dear.append(-truth(table[number]))
    return _agreement(cheap, dear) if cheap else None


def ceiling(table: Table) -> Agreement | None:
    """The agreement of two trainings of the full network; no proxy can be expected to exceed it.

    It is computed on the configs whose second training did not depend on the result of the first,
    and is None if only the best of them have been trained twice.
    """
    pairs = [
        (-runs[Run(number)].value, -runs[Run(number, seed=SECOND_LOOK)].value)
        for number, runs in table.items()
        if number < N_TWICE and Run(number, seed=SECOND_LOOK) in runs
    ]
    if len(pairs) < sum(number < N_TWICE for number in table):
        return None
    return _agreement(*zip(*pairs, strict=True)) if pairs else None


def _agreement(cheap: Sequence[float], dear: Sequence[float]) -> Agreement:
    x, y = np.array(cheap), np.array(dear)
    measures = {name: (float(m(x, y)), *interval(m, x, y)) for name, m in MEASURES.items()}
    return Agreement(len(x), measures)


def _among_top(measure: Measure, x: Floats, y: Floats) -> Floats:
    """The same measure among the configs with which the full network is best."""
    n = math.ceil(TOP * y.shape[-1])
    best = np.argsort(y, axis=-1, kind="stable")[..., :n]
    return measure(np.take_along_axis(x, best, -1), np.take_along_axis(y, best, -1))


def learning_rate(config: Mapping[str, Any]) -> float:
    """The learning rate; for SGD the effective one, lr / (1 - momentum), the long-run step size."""
    rate = next(config[name] for name in ("lr", "sgd_lr", "adamw_lr") if name in config)
    return float(rate / (1 - config.get("momentum", 0.0)))


def best_rates(table: Table, *, corrected: bool) -> dict[float, Triple]:
    """Density → the best learning rate of the config at that density, with an interval.

    The interval is a bootstrap over configs.

    Args:
        table: of a network and one optimizer.
        corrected: whether updates were scaled for each layer. Otherwise the learning rates are
            those of the trainings, unchanged or multiplied by a power of the width.
    """
    rule = rule_of(net_of(table), BY_NORMS) if corrected else ""
    densities = sorted(
        {run.density for runs in table.values() for run in runs if _counts(run, rule)}
    )
    rng = np.random.default_rng(0)
    found = {}
    for density in densities:
        points = [
            [
                (learning_rate(row.config) * row.width_ratio**run.exponent, row.value)
                for run, row in runs.items()
                if run.density == density and _counts(run, rule)
            ]
            for runs in table.values()
        ]
        points = [each for each in points if each]
        drawn = (rng.choice(len(points), len(points)) for _ in range(RESAMPLES))
        resampled = [_best([points[i] for i in numbers]) for numbers in drawn]
        low, high = np.quantile(resampled, [0.025, 0.975])
        found[density] = _best(points), float(low), float(high)
    return found


def _counts(run: Run, rule: str) -> bool:
    return run.density == 1 or run.rule == rule


def _best(points: Iterable[Iterable[tuple[float, float]]]) -> float:
    rates, values = np.array([pair for each in points for pair in each]).T
    return best_rate(rates, values)


def best_rate(rates: Floats, values: Floats) -> float:
    """The maximum of a quadratic in log lr, fitted to the better half and limited to its range."""
    better = values >= np.median(values)
    x = np.log(rates[better])
    degree = min(2, len(np.unique(x)) - 1)  # a resample of a small table may hold few of them
    if degree == 0:
        return float(np.exp(x[0]))
    curve = np.polynomial.Polynomial.fit(x, values[better], degree)
    grid = np.linspace(x.min(), x.max(), 200)
    return float(np.exp(grid[np.argmax(curve(grid))]))
