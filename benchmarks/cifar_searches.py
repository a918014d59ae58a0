"""Searches on the tables of CIFAR-10, through the engine, in random samples of the configs."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.cifar_networks import TASKS
from benchmarks.cifar_steps import Costs
from benchmarks.cifar_table import (
    CONTROL,
    DENSITIES,
    JUDGE,
    PRUNER,
    STRONGER,
    Row,
    Run,
    Table,
    exponents,
)
from benchmarks.cifar_training import EPOCHS
from benchmarks.replay import FULL, TOP, Strategy, decisions, replay, three, two
from benchmarks.tables import Narrow
from benchmarks.tabular_report import Outcome
from proxyhpo import Rung
from proxyhpo._records.records import Config, config_key
from proxyhpo.stoppers import ASHAStopper, MedianStopper
from proxyhpo.transfers import PowerLawTransfer

__all__ = ["DEFAULT", "Trained", "outcomes", "sample_size", "strategies"]

DEFAULT = "1/8 (6), 1/2 (2), median"
"""What the library does with networks as wide as these."""
WIDTH = 1000  # of the stand-in for the full network
N_TRIALS = 60


def strategies(n: int) -> dict[str, Strategy]:
    """Name → a way to search among n configs.

    A ladder of two rungs lets three trials up; of three, as many as stand behind each density.
    Successive halving lets a third up after an epoch, a ninth after two (ASHA, arXiv:1810.05934,
    with one worker); the best three after one epoch are those of arXiv:2307.15422. Both also search
    among fewer configs, so many that it costs about as much as the default ladder.
    """
    return {
        "full": FULL,
        "full, median": replace(FULL, stopper=MedianStopper()),
        "full, seeds swapped": Strategy(FULL.ladder, "identity", swapped=True),
        "1 epoch": one_epoch(),
        "1 epoch, of half the configs": one_epoch(share=0.5),
        "successive halving of epochs": halving(n),
        "successive halving of epochs, of 2 in 5 configs": halving(n, share=0.4),
        "1/8, lr as is": two(1 / 8, transfer="identity"),
        "1/4, lr as is": two(1 / 4, transfer="identity"),
        "1/2, lr as is": two(1 / 2, transfer="identity"),
        "1/8": two(1 / 8),
        "1/8, channels at random": two(1 / 8, pruner=CONTROL),
        "1/4": two(1 / 4),
        "1/4, asha": two(1 / 4, stopper=ASHAStopper()),
        "1/2": two(1 / 2),
        "1/8 (6), 1/4 (2)": three(1 / 8, 6, 1 / 4, 2),
        "1/8 (8), 1/4 (3)": three(1 / 8, 8, 1 / 4, 3),
        "1/8 (6), 1/2 (2)": three(1 / 8, 6, 1 / 2, 2),
        DEFAULT: three(1 / 8, 6, 1 / 2, 2, stopper=MedianStopper()),
        "1/8 (6), 1/2 (2), asha": three(1 / 8, 6, 1 / 2, 2, stopper=ASHAStopper()),
        "1/8 (8), 1/2 (3)": three(1 / 8, 8, 1 / 2, 3),
        **{
            f"{name}, exponent {exponent:g}": replace(
                strategy, transfer=PowerLawTransfer(exponent=exponent)
            )
            for exponent in STRONGER
            for name, strategy in {
                "1/8": two(1 / 8),
                "1/4": two(1 / 4),
                "1/8 (6), 1/4 (2)": three(1 / 8, 6, 1 / 4, 2),
            }.items()
        },
    }


def one_epoch(share: float = 1.0) -> Strategy:
    ladder = [Rung(1, budget=1 / EPOCHS, keep=3), TOP]
    return Strategy(ladder, "identity", checkpoints=True, share=share)


def halving(n: int, share: float = 1.0) -> Strategy:
    third, ninth = (max(3, math.ceil(share * n / part)) for part in (3, 9))
    thirds = [Rung(1, budget=1 / EPOCHS, keep=third), Rung(1, budget=2 / EPOCHS, keep=ninth)]
    return Strategy([*thirds, TOP], "identity", checkpoints=True, share=share)


class Trained:
    """The training function of a search: looks up what the training came to.

    A config is told by all but its learning rate; by how much that one was multiplied tells which
    of a proxy's trainings is meant. A full training of the full network that is asked for once more
    gets the second seed, as it would in life.

    Args:
        table: of one network.
        costs: of its steps.
        seeds: of the full network's trainings, in the order in which they are used.
        pruner: that made the proxies; where a proxy has not been made by it, the usual one.
        curves: whether it reports after each epoch, instead of once.
    """

    def __init__(
        self,
        table: Table,
        costs: Costs,
        seeds: Sequence[int] = (0, 1),
        pruner: str = PRUNER,
        *,
        curves: bool = False,
    ) -> None:
        self._table = table
        self._costs = costs
        self._seeds = seeds
        self._pruner = pruner
        self._curves = curves
        self._numbers = {
            _key(next(iter(runs.values())).config): number for number, runs in table.items()
        }
        self._trained: Counter[int] = Counter()

    def __call__(
        self, network: Narrow, config: Config, budget: float = 1.0
    ) -> Iterator[dict[str, float]]:
        """The validation accuracy, and the seconds so far that override the real ones."""
        number = self._numbers[_key(config)]
        run = self._run(number, network.width / WIDTH, config["lr"])
        if run.density == 1 and budget == 1:
            run = Run(number, seed=self._seeds[min(self._trained[number], 1)])
            self._trained[number] += 1
        row = self._row(run)
        epochs = min(round(budget * EPOCHS), len(row.validation))
        for epoch in range(1 if self._curves else epochs, epochs + 1):
            seconds = self._costs.seconds(row.net, run.density, config["batch_size"], epoch)
            yield {"value": row.validation[epoch - 1], "seconds": seconds}

    def build(self, width: float) -> nn.Module:
        """A stand-in of this fraction of the full width."""
        return Narrow(round(width * WIDTH))

    @property
    def inputs(self) -> Tensor:
        """A batch for the stand-ins."""
        return torch.zeros(2, WIDTH)

    def _run(self, number: int, width: float, lr: float) -> Run:
        base = next(iter(self._table[number].values())).config["lr"]
        density = min((*DENSITIES, 1.0), key=lambda density: abs(density - width))
        if density == 1:
            return Run(number, seed=self._seeds[0])
        power = math.log(lr / base) / math.log(density)
        return Run(number, density, min(exponents(density), key=lambda e: abs(e - power)))

    def _row(self, run: Run) -> Row:
        """Configs that are far from the best ones have been trained once only."""
        runs = self._table[run.number]
        made = replace(run, pruner=self._pruner) if run.density < 1 else run
        return runs.get(made) or runs.get(run) or runs[Run(run.number)]

    def number(self, config: Config) -> int:
        """Of a config."""
        return self._numbers[_key(config)]


def quality(runs: Mapping[Run, Row], used: Sequence[int]) -> float:
    """Test accuracy of the full network under a seed that has decided nothing in any search.

    Configs that are far from the best ones may lack it, and are judged by what they have.
    """
    full = {run.seed: row.test for run, row in runs.items() if run.density == 1}
    if JUDGE in full:
        return full[JUDGE]
    fresh = [test for seed, test in full.items() if seed not in used]
    return float(np.mean(fresh or list(full.values())))


def sample_size(table: Table) -> int:
    """Of a random sample for a search: half of the table, so that two of them share no config."""
    return min(N_TRIALS, len(table) // 2)


def samples(net: str, table: Table, n: int, repetitions: int) -> Iterator[list[Mapping[Run, Row]]]:
    """Random samples of the configs; each two in turn share none, where the table is that large."""
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
    """What each strategy comes to in each of the random samples, which are the same for all.

    Args:
        net: name of the network.
        table: its trainings.
        costs: of its steps.
        repetitions: samples.
        n: configs in each.
        names: of strategies; by default all.
    """
    found = []
    searched = {k: v for k, v in strategies(n).items() if names is None or k in names}
    for number, drawn in enumerate(samples(net, table, n, repetitions)):
        configs = [dict(next(iter(runs.values())).config) for runs in drawn]
        for title, strategy in searched.items():
            seeds = (1, 0) if strategy.swapped else (0, 1)
            curves = strategy.stopper is not None
            training = Trained(table, costs, seeds, strategy.pruner, curves=curves)
            result = replay(training, TASKS[net].space, "maximize", strategy, configs)
            for decision, (config, seconds) in decisions(result, strategy).items():
                runs = table[training.number(config)]
                test = quality(runs, _used(strategy, decision))
                name = title + (f": {decision}" if decision else "")
                found.append(Outcome(net, net, number, n, name, 1 - test, seconds))
    return found


def _used(strategy: Strategy, decision: str) -> Sequence[int]:
    """The seeds of the full network's trainings that a decision rests on."""
    first, second = (1, 0) if strategy.swapped else (0, 1)
    looked_once = decision in ("no re-look", "single best") or decision.startswith("first")
    re_looks = strategy.ladder[0] == Rung(1, keep=3)
    return (first, second) if re_looks and not looked_once else (first,)


def _key(config: Mapping[str, Any]) -> str:
    return config_key({name: value for name, value in config.items() if name != "lr"})
