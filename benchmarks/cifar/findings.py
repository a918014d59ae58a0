"""The findings for each network, computed from its table of trainings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.cifar.searches import (
    DEFAULT,
    LADDERS,
    N_TRIALS,
    POWER_LAW,
    SHORT,
    outcomes,
    sample_size,
)
from benchmarks.cifar.steps import Costs
from benchmarks.cifar.table import JUDGE, Table
from benchmarks.tabular.report import REFERENCE, UNIT, Outcome

__all__ = [
    "CHOSEN",
    "COMPARED",
    "FEW",
    "MOST",
    "NOT_EARLY",
    "Findings",
    "Floats",
    "best_ladder",
    "by_optimizer",
    "cost_in",
    "find",
    "has_mean",
    "judged",
    "mean_of",
    "mean_points",
    "of_halves",
    "points_in",
    "points_of",
]

Floats = npt.NDArray[np.float64]
MOST = 0.2  # maximum cost of a ladder that may be chosen, as a share of a full search
FEW = 20  # number of configs in a short search
NOT_EARLY = "1/8 (4), median, repeats"
"""The default without early promotion."""
CHOSEN = (
    DEFAULT, NOT_EARLY, "1/8 (4), early, median", "1/8 (3), median", "1/8 (4), asha"
)  # fmt: skip
COMPARED = (
    UNIT, "full, median", "full: first 15% of the time", "1 epoch", "1 epoch, of 2 in 5 configs",
    "successive halving of epochs", "successive halving of epochs, of 1 in 3 configs",
    "1/8 (4), as it is", "1/8 (4), power law", POWER_LAW, *CHOSEN,
)  # fmt: skip


@dataclass(frozen=True)
class Findings:
    """The findings for one network.

    Args:
        net: its name.
        table: its trainings.
        halves: outcomes of searches among half of the configs; two consecutive ones share
            none.
        larger: outcomes of searches among all configs.
        short: outcomes of searches among 20 configs, with 1 to 4 finalists.
    """

    net: str
    table: Table
    halves: Sequence[Outcome]
    larger: Sequence[Outcome]
    short: Sequence[Outcome]

    @property
    def is_judged(self) -> bool:
        """Whether the table has trainings under seeds that judge searches but decide none."""
        return any(run.seed >= JUDGE for runs in self.table.values() for run in runs)

    def points(self, name: str) -> Floats | None:
        """Test accuracy minus that of a full search with repeats, for each sample, in points."""
        return points_in(self.halves, name)

    def cost(self, name: str, *, larger: bool = False) -> float:
        """The cost of a strategy, as a share of a full search without repeats."""
        return cost_in(self.larger if larger else self.halves, name)


def points_in(found: Sequence[Outcome], name: str) -> Floats | None:
    """The same among some outcomes; None if there are none of this strategy."""
    own, other = (_by_sample(found, each) for each in (name, REFERENCE))
    return np.array([100 * (other[k].loss - own[k].loss) for k in own]) if own else None


def cost_in(found: Sequence[Outcome], name: str) -> float:
    """The cost of a strategy among some outcomes, as a share of a full search's."""
    own, unit = (_by_sample(found, each) for each in (name, UNIT))
    return float(np.mean([own[k].seconds / unit[k].seconds for k in own]))


def _by_sample(found: Iterable[Outcome], name: str) -> dict[int, Outcome]:
    return {outcome.repetition: outcome for outcome in found if outcome.strategy == name}


def of_halves(differences: Floats) -> tuple[float, float]:
    """The 95 % interval of the mean, if each pair of consecutive differences shares no config.

    Different pairs contain the same configs, so many pairs say little more than one. The standard
    error is therefore that of the mean of two differences.
    """
    halves = differences[: len(differences) // 2 * 2].reshape(-1, 2)
    error = float(np.sqrt(np.mean(np.diff(halves, axis=1) ** 2) / 4))
    middle = float(differences.mean())
    return middle - 1.96 * error, middle + 1.96 * error


def find(net: str, table: Table, costs: Costs, repetitions: int) -> Findings:
    """Replays the searches on a table."""
    halves = outcomes(net, table, costs, repetitions, n=sample_size(table))
    n = min(N_TRIALS, len(table))
    larger = outcomes(net, table, costs, 2, n=n)
    short = outcomes(net, table, costs, repetitions, n=min(FEW, sample_size(table)), names=SHORT)
    return Findings(net, table, halves, larger, short)


def points_of(each: Findings, name: str) -> float:
    points = each.points(name)
    assert points is not None, "asked for strategies that were replayed"
    return float(points.mean())


def mean_of(points: Sequence[Floats]) -> Floats:
    """The mean over the networks for each sample; samples of different networks are independent."""
    n = min(map(len, points))
    mean: Floats = np.mean([each[:n] for each in points], axis=0)
    return mean


def by_optimizer(found: Sequence[Findings]) -> Iterator[tuple[str, Table]]:
    """The table for each optimizer, since learning rates of SGD and AdamW cannot be compared."""
    for each in found:
        kinds = {next(iter(runs.values())).config.get("optimizer") for runs in each.table.values()}
        for kind in sorted(kinds, key=str):
            table = {
                number: runs
                for number, runs in each.table.items()
                if next(iter(runs.values())).config.get("optimizer") == kind
            }
            yield (f"{each.net}, {kind}" if kind else each.net), table


def has_mean(found: Sequence[Findings], name: str) -> bool:
    """Whether all networks over which means are taken have the strategy."""
    return all(each.points(name) is not None for each in judged(found))


def mean_points(found: Sequence[Findings], name: str) -> Floats:
    """The mean difference of a strategy over the networks that are judged, for each sample."""
    return mean_of([p for each in judged(found) if (p := each.points(name)) is not None])


def judged(found: Sequence[Findings]) -> Sequence[Findings]:
    """The networks over which means are taken: those whose searches are judged by other seeds.

    The other networks are judged by the training that decided, so their differences are too small.
    If there are only such networks, these are returned.
    """
    return [each for each in found if each.is_judged] or found


def best_ladder(found: Sequence[Findings]) -> str | None:
    """The ladder with the best mean accuracy, among those that cost at most :data:`MOST`."""
    affordable = {
        name: np.mean([points_of(each, name) for each in judged(found)])
        for name in LADDERS
        if all(each.points(name) is not None for each in found)
        and np.mean([each.cost(name, larger=True) for each in found]) <= MOST
    }
    return max(affordable, key=lambda name: affordable[name], default=None)
