"""Stores tables of trainings, one for each network: adds trainings, and reads them back.

For each config a table has trainings of the full network and of proxies of several densities, with
the default correction and with others for comparison. Every training has its own seed: no proxy
shares weights, or the order of examples, with the full network.
"""

from __future__ import annotations

import json
import math
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.cifar.networks import TASKS, Task
from benchmarks.cifar.rules import BY_NORMS, RULES, rule_of, scaled
from benchmarks.cifar.training import Examples, train
from benchmarks.images import accuracy
from proxyhpo._proxy import NetworkFactory
from proxyhpo._records.history import History
from proxyhpo.pruners import L1StructuredPruner, RandomPruner
from proxyhpo.transfers import PowerLawTransfer
from proxyhpo.transfers._exponents import transferred

__all__ = [
    "CONTROL",
    "DENSITIES",
    "EXPONENT",
    "JUDGE",
    "PRUNER",
    "Row",
    "Run",
    "Table",
    "complete",
    "configs",
    "fill",
    "n_configs",
    "read",
    "table_path",
    "wanted",
]

N_CONFIGS = {"perceptron": 60, "language": 60}
OTHERS = 110
N_TWICE = 60
N_VARIANTS = 40
EVERY = 10  # further seeds are trained after so many configs
BEST = 0.6  # for this share of the configs, the best ones
SECOND_LOOK, JUDGE = 1, 2
"""Seeds of further trainings of the full network: one for searches, and one to judge them."""
PRUNER, CONTROL = "l1-structured", "random"
SMALLEST = 1 / 8
DENSITIES = (1 / 16, 1 / 12, 1 / 8, 1 / 4, 1 / 2)
EXPONENT = -0.5


@dataclass(frozen=True, order=True)
class Run:
    """One training.

    Args:
        number: of the config.
        density: of the network.
        exponent: power of the width ratio by which the learning rate was multiplied.
        seed: 0 for the first training; larger for further ones.
        pruner: the pruner, if the network is a proxy.
        rule: how updates were scaled: a name in ``RULES``, or empty.
    """

    number: int
    density: float = 1.0
    exponent: float = 0.0
    seed: int = 0
    pruner: str = PRUNER
    rule: str = ""

    def seeds(self, net: str) -> np.random.SeedSequence:
        """The seed of this training."""
        numbers = (self.number, round(1000 * self.density), round(-100 * self.exponent), self.seed)
        of_pruner = map(ord, "" if self.pruner == PRUNER else self.pruner)
        return np.random.SeedSequence([*map(ord, net), *numbers, *of_pruner, *map(ord, self.rule)])


@dataclass(frozen=True)
class Row:
    """The result of a training.

    Args:
        net: name of the network.
        number: of the config.
        config: in terms of the full network.
        density: of the network that was trained.
        width_ratio: of that network.
        exponent: power of the width ratio by which the learning rate was multiplied.
        seed: 0 for the first training; larger for further ones.
        validation: accuracy after each epoch; shorter if the loss became infinite or NaN.
        test: accuracy after the last epoch.
        seconds: CPU time of the training; approximate, because caches were shared.
        pruner: the pruner, if the network is a proxy.
        rule: how updates were scaled, or empty.
    """

    net: str
    number: int
    config: Mapping[str, Any]
    density: float
    width_ratio: float
    exponent: float
    seed: int
    validation: Sequence[float]
    test: float
    seconds: float
    pruner: str = PRUNER
    rule: str = ""

    @property
    def run(self) -> Run:
        """The training that gave this result."""
        return Run(self.number, self.density, self.exponent, self.seed, self.pruner, self.rule)

    @property
    def value(self) -> float:
        """The final validation accuracy."""
        return self.validation[-1]


Table = Mapping[int, Mapping[Run, Row]]
"""Config number → its trainings."""


def n_configs(net: str) -> int:
    """How many configs the table of a network has."""
    return N_CONFIGS.get(net, OTHERS)


def configs(task: Task, net: str, n: int) -> list[dict[str, Any]]:
    """Random configs of the task's space, with numbers rounded to four digits."""
    rng = np.random.default_rng(list(map(ord, net)))
    return [
        {
            name: float(f"{value:.4g}") if isinstance(value, float) else value
            for name, value in task.space.sample(rng).items()
        }
        for _ in range(n)
    ]


def wanted(net: str, number: int) -> Iterator[Run]:
    """The trainings of a config: the full network, then its proxies."""
    rule = rule_of(net, BY_NORMS)
    yield Run(number)
    if number < N_TWICE:  # regardless of the first result, to show the effect of a seed
        yield Run(number, seed=SECOND_LOOK)
    for density in sorted(DENSITIES, reverse=True):
        yield Run(number, density, rule=rule)
    for density in (SMALLEST, max(DENSITIES)):
        yield Run(number, density, EXPONENT)
    if number < N_VARIANTS:
        yield Run(number, SMALLEST)
        yield from (Run(number, SMALLEST, rule=other) for other in RULES if other != rule)
        yield Run(number, SMALLEST, rule=rule, pruner=CONTROL)


def table_path(folder: Path, net: str) -> Path:
    """The path of a network's table."""
    return folder / f"{'text' if TASKS[net].is_text else 'cifar'}_{net}.jsonl"


def read(path: Path) -> Table:
    """The trainings in a file, without incomplete lines."""
    found: dict[int, dict[Run, Row]] = defaultdict(dict)
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            row = Row(**json.loads(line))
        except json.JSONDecodeError:  # cut when the command was killed
            continue
        found[row.number][row.run] = row
    return dict(sorted(found.items()))


def complete(net: str, table: Table) -> Table:
    """The configs that have a full training and the proxy of a default search."""
    rule = rule_of(net, BY_NORMS)
    return {
        number: runs
        for number, runs in table.items()
        if Run(number) in runs and Run(number, SMALLEST, rule=rule) in runs
    }


def fill(net: str, examples: Examples, folder: Path, n: int | None = None) -> None:
    """Adds the missing trainings, config by config, and further seeds for the best configs so far.

    The second seed shows what repeats would have decided. No search uses the third one, so it can
    judge every config that a search finds.

    Args:
        net: name of the network.
        examples: to train on.
        folder: of the tables.
        n: number of configs; by default the size that the table is planned to have.
    """
    n = n or n_configs(net)
    table = Filler(net, examples, folder, n)
    for number in range(n):
        table.add(wanted(net, number))
        if (number + 1) % EVERY == 0 or number + 1 == n:
            best = table.best(math.ceil(BEST * (number + 1)))
            table.add(Run(number, seed=seed) for number in best for seed in (SECOND_LOOK, JUDGE))


class Filler:
    """Adds trainings to a table.

    Args:
        net: name of the network.
        examples: to train on.
        folder: of the tables.
        n: configs.
    """

    def __init__(self, net: str, examples: Examples, folder: Path, n: int) -> None:
        self._net, self._examples = net, examples
        self._path = table_path(folder, net)
        self._task = TASKS[net]
        self._configs = configs(self._task, net, n)
        inputs = examples.train[0][:64]
        pruners = {PRUNER: L1StructuredPruner(), CONTROL: RandomPruner()}
        self._networks = {
            name: NetworkFactory(self._task.build, pruner, inputs)
            for name, pruner in pruners.items()
        }
        self._ratios: dict[float, float] = {1.0: 1.0}
        folder.mkdir(parents=True, exist_ok=True)
        self.rows = {run: row for runs in read(self._path).values() for run, row in runs.items()}
        if self._path.exists() and not self._path.read_text().endswith("\n"):
            with self._path.open("a") as file:
                file.write("\n")  # ends a line that was cut

    def add(self, runs: Iterable[Run]) -> None:
        """Trains the runs that the table does not have yet."""
        for run in runs:
            if run not in self.rows:
                row = self.rows[run] = self._train(run)
                with self._path.open("a") as file:
                    file.write(json.dumps(asdict(row), separators=(",", ":")) + "\n")
                print(f"{self._net} {run} {row.value:.3f} {row.seconds:.1f} s", flush=True)

    def best(self, n: int) -> list[int]:
        """Numbers of the configs with which the full network is best."""
        values = {run.number: row.value for run, row in self.rows.items() if run == Run(run.number)}
        return sorted(values, key=lambda number: -values[number])[:n]

    def _train(self, run: Run) -> Row:
        config = self._configs[run.number]
        ratio = self._width_ratio(run.density)
        transfer = PowerLawTransfer(exponent=run.exponent)
        seeds = run.seeds(self._net)
        made = self._networks[run.pruner].make(config, density=run.density, seed=seeds.spawn(1)[0])
        network = made.network
        began = time.process_time()
        seed = int(seeds.generate_state(1)[0])
        torch.manual_seed(seed)
        lawful = transferred(config, transfer.exponents(self._task.space, History()), ratio)
        with scaled(network, made.fans, run.rule):
            reports = train(network, self._task, lawful, self._examples, seed=seed)
            validation = [round(value, 4) for value in reports]
        seconds = time.process_time() - began
        return Row(
            net=self._net,
            number=run.number,
            config=config,
            density=run.density,
            width_ratio=round(ratio, 4),
            exponent=run.exponent,
            seed=run.seed,
            validation=validation,
            test=round(accuracy(network, self._examples.test), 4),
            seconds=round(seconds, 1),
            pruner=run.pruner,
            rule=run.rule,
        )

    def _width_ratio(self, density: float) -> float:
        """The width ratio, which depends only on the widths of the layers."""
        if density not in self._ratios:
            proxy = self._networks[PRUNER].measured(
                self._configs[0], density=density, seed=np.random.SeedSequence(0)
            )
            self._ratios[density] = proxy.width_ratio
        return self._ratios[density]
