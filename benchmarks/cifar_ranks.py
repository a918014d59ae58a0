"""Other ways to say who climbs: what was tried, and dropped.

    python -m benchmarks.cifar_ranks [--repetitions 40]

The ladder ``1/8 (6), 1/2 (2)`` on random samples of the configs of the CIFAR-10 tables. A rung is
ranked by what its trainings came to (as the library does), by the mean over all rungs that a trial
has been on, or by a Gaussian process that is fitted to the rung's trainings, which takes the
neighbours of a config into account and smooths the noise of a single training. Trainings are
looked up; the process is scikit-learn's, with a Matern kernel, a length for each hyperparameter and
noise. Values are ranks, made normal, so that trainings which diverged do not spoil the fit. Prints
Markdown.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy.stats import norm, rankdata
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

from benchmarks.cifar_networks import TASKS
from benchmarks.cifar_report import of_halves
from benchmarks.cifar_searches import quality, sample_size, samples
from benchmarks.cifar_table import EXPONENT, SECOND_LOOK, Row, Run, complete, read
from benchmarks.tabular_report import Floats
from proxyhpo import Space

Sample = Sequence[Mapping[Run, Row]]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repetitions", type=int, default=40)
    parser.add_argument("--tables", type=Path, default=Path("benchmarks/data"))
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    print("| network | by the last rung | by the mean of all rungs | by a Gaussian process |")
    print("|---" * 4 + "|")
    for net in TASKS:
        table = complete(read(arguments.tables / f"cifar_{net}.jsonl"))
        n = sample_size(table)
        drawn = list(samples(net, table, n, arguments.repetitions))
        rows = np.array([differences(sample, TASKS[net].space) for sample in drawn])
        cells = [
            f"{column.mean():+.2f} [{low:+.2f}, {high:+.2f}]"
            for column in rows.T
            for low, high in [of_halves(column)]
        ]
        print(f"| {net} | {' | '.join(cells)} |")


def differences(sample: Sample, space: Space) -> list[float]:
    """Points of test error against a full search that looks twice, of each way to rank."""
    narrow, half, full = (
        np.array([1 - runs[Run(number(runs), density, exponent)].value for runs in sample])
        for density, exponent in ((1 / 8, EXPONENT), (1 / 2, EXPONENT), (1.0, 0.0))
    )
    points = np.array([space.encode(runs[Run(number(runs))].config) for runs in sample])
    narrow, half, full = (norm.ppf((rankdata(v) - 0.5) / len(v)) for v in (narrow, half, full))
    found = [
        climb(narrow, half, full),
        climb(narrow, (narrow + half) / 2, (narrow + half + full) / 3),
        climb(smoothed(points, narrow), half, full),
    ]
    best = np.argsort(full)[:3]
    reference = min(best, key=lambda i: second_look(sample[i]))
    return [100 * (quality(sample[reference], (0, 1)) - quality(sample[i], (0,))) for i in found]


def climb(narrow: Floats, half: Floats, full: Floats) -> int:
    """The config that a ladder of three rungs finds, by what ranks each of them."""
    six = np.argsort(narrow, kind="stable")[:6]
    two = six[np.argsort(half[six], kind="stable")[:2]]
    return int(two[np.argmin(full[two])])


def smoothed(points: Floats, values: Floats) -> Floats:
    """What a Gaussian process makes of the values at their own points."""
    length = Matern([0.5] * points.shape[1], (0.05, 100), nu=2.5)
    kernel = ConstantKernel(1.0, (0.01, 100)) * length + WhiteKernel(0.1, (1e-4, 2))
    fitted = GaussianProcessRegressor(kernel, random_state=0).fit(points, values)
    predicted: Floats = fitted.predict(points)
    return predicted


def second_look(runs: Mapping[Run, Row]) -> float:
    """The error of the full network under the second seed, which the best configs have."""
    again = runs.get(Run(number(runs), seed=SECOND_LOOK)) or runs[Run(number(runs))]
    return 1 - again.value


def number(runs: Mapping[Run, Row]) -> int:
    return next(iter(runs)).number


if __name__ == "__main__":
    main()
