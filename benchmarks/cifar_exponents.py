"""Whether weight decay follows the width."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.cifar_table import Row, Run, Table

__all__ = ["Decay", "decay"]

Floats = npt.NDArray[np.float64]
DRAWS = 100


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
