"""Replays a search on a table of trainings: what it finds, and what it costs.

A replay follows the rules of a search without running the engine, because tens of thousands of
searches are replayed. The library's own functions rank the trials of the full network and decide on
second seeds. Tests check that the engine finds the same config at the same cost, also with its
default settings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from benchmarks.cifar.fidelity import net_of
from benchmarks.cifar.rules import BY_NORMS, rule_of
from benchmarks.cifar.steps import Costs
from benchmarks.cifar.table import SECOND_LOOK, Row, Run, Table
from benchmarks.cifar.training import EPOCHS
from benchmarks.tabular.report import REFERENCE, UNIT
from proxyhpo._engine.standing import standings
from proxyhpo._records.records import Record
from proxyhpo._records.report import Report
from proxyhpo.stoppers import Curve, Stopper

__all__ = ["Found", "Level", "Search", "Trainings", "full", "replayed"]

Trainings = Mapping[Run, Row]
"""The trainings of one config."""
_TOP = 0
"""Index of the rung of the full network in the records of a replay, which has no others."""


@dataclass(frozen=True)
class Level:
    """A rung below the full network.

    Args:
        density: of the networks.
        keep: how many trials are promoted.
        epochs: of each training.
    """

    density: float
    keep: int
    epochs: int = EPOCHS


@dataclass(frozen=True)
class Search:
    """A search strategy.

    Args:
        levels: the rungs below the full network, cheapest first.
        rule: how the updates of proxies are scaled.
        exponent: the learning rates of proxies are multiplied by this power of the width ratio.
        stopper: of trainings on the first rung.
        share: fraction of the configs among which it searches, the first ones of a sample.
        second_seeds: whether the two best trials of the full network are trained under another seed
            if the library's estimate of the noise may explain their difference. The mean over the
            seeds of a trial then decides.
        early: numbers of trials on the first rung after which the best one so far is promoted. The
            others are promoted when all trials have been trained.
    """

    levels: Sequence[Level]
    rule: str = BY_NORMS
    exponent: float = 0.0
    stopper: Stopper | None = None
    share: float = 1.0
    second_seeds: bool = False
    early: Sequence[int] = ()

    def run(self, net: str, number: int, density: float) -> Run:
        """Describes the training of a config at a density."""
        if density == 1:
            return Run(number)
        return Run(number, density, self.exponent, rule=rule_of(net, self.rule))

    def is_known(self, table: Table) -> bool:
        """Whether a table has all proxies that the search may need."""
        net = net_of(table)
        return all(
            self.run(net, number, level.density) in runs
            for number, runs in table.items()
            for level in self.levels
        )


@dataclass
class Found:
    """The outcome of a search.

    Args:
        number: index of the config in the sample.
        seconds: the cost of the search.
    """

    number: int
    seconds: float


@dataclass
class _Replay:
    """A search among some configs, and its cost so far."""

    search: Search
    sample: Sequence[Trainings]
    costs: Costs
    charged: dict[tuple[int, float], float] = field(default_factory=dict)

    def found(self) -> Found:
        chosen: Sequence[int] = range(max(1, round(self.search.share * len(self.sample))))
        for level in self.search.levels:
            chosen = self.climbing(level, chosen)
        records = [_record(i, self.trained(i)) for i in chosen]
        if self.search.second_seeds:
            records += [_record(i, self.once_more(i)) for i in _best_two(records)]
        return Found(standings(records, _TOP)[0].trial, sum(self.charged.values()))

    def climbing(self, level: Level, chosen: Sequence[int]) -> list[int]:
        """The trials that are promoted from a rung, best first."""
        # Those of a higher rung enter together, so that they have no peers and are never stopped.
        stopper = self.search.stopper if level is self.search.levels[0] else None
        curves = tuple(
            tuple(-value for value in self.row(i, level.density).validation[: level.epochs])
            for i in chosen
        )
        losses: dict[int, float] = {}
        for i, curve, epochs in zip(chosen, curves, _lengths(curves, stopper), strict=True):
            self.charge(i, level.density, epochs)
            if epochs == len(curve):
                losses[i] = curve[-1]
        return _climbers(losses, level.keep, self.search.early)

    def trained(self, i: int) -> Row:
        """Trains the full network."""
        row = self.row(i, 1.0)
        self.charge(i, 1.0, len(row.validation))
        return row

    def once_more(self, i: int) -> Row:
        """Trains the full network under the second seed."""
        runs = self.sample[i]
        # Configs that are far from the best ones have been trained once only.
        row = runs.get(Run(_number(runs), seed=SECOND_LOOK)) or runs[Run(_number(runs))]
        self.charged[i, 2.0] = self.seconds(i, 1.0, len(row.validation))
        return row

    def row(self, i: int, density: float) -> Row:
        runs = self.sample[i]
        net = next(iter(runs.values())).net
        return runs[self.search.run(net, _number(runs), density)]

    def charge(self, i: int, density: float, epochs: int) -> None:
        """Adds a training to the cost; resuming a shorter one adds only its later epochs."""
        before = self.charged.get((i, density), 0.0)
        self.charged[i, density] = max(before, self.seconds(i, density, epochs))

    def seconds(self, i: int, density: float, epochs: int) -> float:
        row = next(iter(self.sample[i].values()))
        return self.costs.seconds(row.net, density, row.config["batch_size"], epochs)


@lru_cache(maxsize=32)
def _lengths(curves: Sequence[Sequence[float]], stopper: Stopper | None) -> Sequence[int]:
    """After how many epochs each training ends. It was stopped if its curve is longer.

    The result is cached, since many searches have the first rung in common.
    """
    peers: list[Curve] = []
    for losses in curves:
        curve = Curve()
        for loss in losses:
            curve.append(loss)
            if stopper and len(curve) < len(losses) and stopper.should_stop(curve, peers):
                break
        peers.append(curve)
    return [len(curve) for curve in peers]


def _record(i: int, row: Row) -> Record:
    """The record that the library would make of a training of the full network."""
    config, value = dict(row.config), row.value
    reports = [Report(each) for each in row.validation]
    return Record(i, _TOP, row.seed, config, config, "finished", value, -value, reports)


def _best_two(records: Sequence[Record]) -> list[int]:
    """The two best trials, which are trained once more; a single one is not."""
    best = [each.trial for each in standings(records, _TOP)[:2]]
    return best if len(best) == 2 else []


def _climbers(losses: Mapping[int, float], keep: int, early: Sequence[int]) -> list[int]:
    """The promoted trials, given the losses; some are promoted before all losses are known."""
    chosen: list[int] = []
    for n in early[: keep - 1]:
        known = [i for i in losses if i < n and i not in chosen]
        chosen += sorted(known, key=lambda i: losses[i])[:1]
    others = [i for i in losses if i not in chosen]
    return chosen + sorted(others, key=lambda i: losses[i])[: keep - len(chosen)]


def _number(runs: Trainings) -> int:
    return next(iter(runs)).number


def full(sample: Sequence[Trainings], costs: Costs) -> dict[str, Found]:
    """Searches on the full network: complete ones, and some that end earlier.

    The best three are trained once more under the second seed, which then decides alone. The cost
    of the search without these repeats is the unit of cost.
    """
    replay = _Replay(Search([]), sample, costs)
    values = [replay.trained(i).value for i in range(len(sample))]
    order = sorted(range(len(sample)), key=lambda i: -values[i])
    each = [replay.charged[i, 1.0] for i in range(len(sample))]
    found = {UNIT: Found(order[0], sum(each))}
    for share in (0.25, 0.15):
        last = max(1, int(np.sum(np.cumsum(each) <= share * sum(each))))
        best = max(range(last), key=lambda i: values[i])
        found[f"full: first {share:.0%} of the time"] = Found(best, sum(each[:last]))
    again = {i: replay.once_more(i).value for i in order[:3]}
    best = max(again, key=lambda i: again[i])
    found[REFERENCE] = Found(best, sum(replay.charged.values()))
    return found


def replayed(search: Search, sample: Sequence[Trainings], costs: Costs) -> Found:
    """One search among the configs of a sample, in their order."""
    return _Replay(search, sample, costs).found()
