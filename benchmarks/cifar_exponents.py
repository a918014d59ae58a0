"""What a transfer would learn from a few probes, and whether weight decay follows the width."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.cifar_networks import TASKS
from benchmarks.cifar_steps import Costs
from benchmarks.cifar_table import EXPONENT, STRONGER, Row, Run, Table
from benchmarks.cifar_training import EPOCHS
from proxyhpo._records.history import History
from proxyhpo._records.records import Probe, Record
from proxyhpo.transfers import FittedPowerLawTransfer

__all__ = ["Decay", "Learned", "decay", "learned"]

Floats = npt.NDArray[np.float64]
N_CONFIGS = 10
DRAWS = 100
PAIRS = {0.125: (0.0, min(STRONGER)), 0.5: (0.0, EXPONENT)}
"""Density → the exponents with which a probe is trained there."""


@dataclass(frozen=True)
class Learned:
    """What ``fitted-power-law`` makes of ten configs, over random draws of them.

    Args:
        exponents: that it would transfer with, one a draw.
        estimates: by the probes alone.
        covered: in how many draws the interval holds the exponent that all configs show.
        base_trainings: that the probes cost.
    """

    exponents: Floats
    estimates: Floats
    covered: float
    base_trainings: float


def learned(net: str, table: Table, costs: Costs, exponent: float) -> Learned:
    """Has the transfer learn from random configs of a table.

    Args:
        net: which network.
        table: its trainings.
        costs: of steps.
        exponent: that all trainings of the table show.
    """
    rng = np.random.default_rng(0)
    transfer, space = FittedPowerLawTransfer(), TASKS[net].space
    numbers = list(table)
    n = min(N_CONFIGS, len(numbers))
    draws = [
        _pairs([table[int(number)] for number in rng.choice(numbers, n, replace=False)])
        for _ in range(DRAWS)
    ]
    fits = [transfer.fit(space, _history(rows)) for rows in draws]
    found = [(f.exponent, f.estimate, f.low, f.high) for f in fits if f.estimate is not None]
    exponents, estimates, low, high = np.array(found, float).T
    seconds = [_seconds(row, costs) for rows in draws for row in rows]
    whole = np.mean([_seconds(runs[Run(number)], costs) for number, runs in table.items()])
    return Learned(
        exponents,
        estimates,
        float(np.mean((low <= exponent) & (exponent <= high))),
        float(sum(seconds) / DRAWS / whole),
    )


def _pairs(drawn: Sequence[Mapping[Run, Row]]) -> list[Row]:
    """The trainings of some configs that the transfer would have asked for."""
    return [
        runs[Run(next(iter(runs)).number, density, exponent)]
        for runs in drawn
        for density, exponents in PAIRS.items()
        for exponent in exponents
    ]


def _history(rows: Sequence[Row]) -> History:
    """The trainings as probes of a study."""
    history, densities = History(), list(PAIRS)
    for number, row in enumerate(rows):
        config, rung = dict(row.config), densities.index(row.density)
        powers = {"lr": row.exponent} if row.exponent else {}
        history.add_probe(Probe(config, rung, powers, width_ratio=row.width_ratio))
        trained = {**config, "lr": config["lr"] * row.width_ratio**row.exponent}
        record = Record(
            number, rung, 0, config, trained, "finished", value=row.value, loss=-row.value
        )
        history.add_probe_record(record)
    return history


def _seconds(row: Row, costs: Costs) -> float:
    return costs.seconds(row.net, row.density, row.config["batch_size"], EPOCHS)


@dataclass(frozen=True)
class Decay:
    """Whether the best weight decay follows the width.

    Args:
        without: share of the variance of the accuracies that width and learning rate explain.
        best: that they and weight decay explain, with the exponent that fits best.
        worst: the same with the one that fits worst.
        exponent: of the width ratio, the best one and its 95 % interval.
    """

    without: float
    best: float
    worst: float
    exponent: tuple[float, float, float]


def decay(table: Table, exponent: float) -> Decay:
    """Fits accuracies by the learning rate and by weight decay times a power of the width.

    The interval is a bootstrap over configs; it cannot reach beyond the powers tried, -2 to 2.

    Args:
        table: of one network.
        exponent: of its learning rate.
    """
    each = [_logarithms(runs) for runs in table.values()]
    powers = np.linspace(-2, 2, 17)
    without, shares = _explained(np.vstack(each), exponent, powers)
    rng = np.random.default_rng(0)
    resampled = [
        powers[np.argmax(_explained(np.vstack([each[i] for i in drawn]), exponent, powers)[1])]
        for drawn in rng.integers(len(each), size=(DRAWS, len(each)))
    ]
    low, high = np.quantile(resampled, [0.025, 0.975])
    best = float(powers[np.argmax(shares)])
    return Decay(without, float(max(shares)), float(min(shares)), (best, float(low), float(high)))


def _logarithms(runs: Mapping[Run, Row]) -> Floats:
    """Of shape (trainings, 4): width, learning rate, weight decay (logarithms), accuracy."""
    return np.array(
        [
            (
                np.log(row.width_ratio),
                np.log(row.config["lr"]) + row.exponent * np.log(row.width_ratio),
                np.log(row.config["weight_decay"]),
                row.value,
            )
            for row in runs.values()
        ]
    )


def _explained(rows: Floats, exponent: float, powers: Floats) -> tuple[float, list[float]]:
    """Shares of the variance: without weight decay, and with it for each power."""
    width, rate, decays, accuracy = rows.T
    each_width = [width == w for w in np.unique(width)]
    u = _centred(rate - exponent * width)
    alone = np.stack([*each_width, u, u**2, u**3], -1).astype(float)
    found = []
    for power in powers:
        v = _centred(decays - power * width)
        found.append(_share(np.hstack([alone, np.stack([v, v**2, u * v], -1)]), accuracy))
    return _share(alone, accuracy), found


def _share(columns: Floats, y: Floats) -> float:
    fitted = columns @ np.linalg.lstsq(columns, y, rcond=None)[0]
    return float(1 - np.sum((y - fitted) ** 2) / np.sum((y - y.mean()) ** 2))


def _centred(x: Floats) -> Floats:
    centred: Floats = x - x.mean()
    return centred
