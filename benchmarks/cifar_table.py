"""A table of trainings on CIFAR-10: filled config by config, and read back.

Of each config the table holds trainings of the full network and of proxies of three densities,
each with the learning rate as it is and as a power law transfers it. Every training has a seed
of its own: no proxy shares its weights, or the order of its images, with the full network.
"""

from __future__ import annotations

import json
import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.cifar_networks import TASKS, Task
from benchmarks.cifar_training import train
from benchmarks.images import Images, accuracy
from proxyhpo._proxy import NetworkFactory
from proxyhpo._records.history import History
from proxyhpo.pruners import L1StructuredPruner, RandomPruner
from proxyhpo.transfers import PowerLawTransfer, transferred

__all__ = [
    "CONTROL",
    "DENSITIES",
    "EXPONENT",
    "JUDGE",
    "PRUNER",
    "STRONGER",
    "Row",
    "Run",
    "Table",
    "configs",
    "exponents",
    "fill",
    "fill_longer",
    "longer_pass",
    "read",
]

N_CONFIGS = 200
N_TWICE = 60
EVERY = 10  # configs
BEST = 0.6  # of the configs
SECOND_LOOK, JUDGE = 1, 2
"""Seeds of further trainings of the full network: that a search may see, and that it may not."""
PRUNER, CONTROL = "l1-structured", "random"
DENSITIES = (0.125, 0.25, 0.5)
EXPONENT = -0.5
STRONGER = (-0.75, -1.0)
LONGER = 3
"""How many times as long the trainings of a second, small table are."""


@dataclass(frozen=True, order=True)
class Run:
    """One training.

    Args:
        number: of the config.
        density: of the network.
        exponent: power of the width ratio by which the learning rate was multiplied.
        seed: 0, or more for further trainings.
        pruner: that made the network, where it is a proxy.
    """

    number: int
    density: float = 1.0
    exponent: float = 0.0
    seed: int = 0
    pruner: str = PRUNER

    def seeds(self, net: str) -> np.random.SeedSequence:
        """Of this training alone."""
        # The same for longer trainings: they share no table with the others.
        numbers = (self.number, round(1000 * self.density), round(-100 * self.exponent), self.seed)
        of_pruner = map(ord, "" if self.pruner == PRUNER else self.pruner)
        return np.random.SeedSequence([*map(ord, net), *numbers, *of_pruner])


@dataclass(frozen=True)
class Row:
    """What a training came to.

    Args:
        net: which network.
        number: of the config.
        config: in terms of the full network.
        density: of the network that was trained.
        width_ratio: of the same.
        exponent: power of the width ratio by which the learning rate was multiplied.
        seed: 0, or more for further trainings.
        validation: accuracy after each epoch; ends early where the loss was no longer finite.
        test: accuracy after the last.
        seconds: of the processor for the training; rough, since caches were shared.
        pruner: that made the network, where it is a proxy.
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

    @property
    def run(self) -> Run:
        """Which training it was."""
        return Run(self.number, self.density, self.exponent, self.seed, self.pruner)

    @property
    def value(self) -> float:
        """The validation accuracy that it ended with."""
        return self.validation[-1]


Table = Mapping[int, Mapping[Run, Row]]
"""Config number → its trainings."""


def configs(task: Task, net: str, n: int) -> list[dict[str, Any]]:
    """Drawn at random from the task's space; real numbers have four digits."""
    rng = np.random.default_rng(list(map(ord, net)))
    return [
        {
            name: float(f"{value:.4g}") if isinstance(value, float) else value
            for name, value in task.space.sample(rng).items()
        }
        for _ in range(n)
    ]


def first_pass(number: int) -> Iterator[Run]:
    """Of a config: the full network, then its proxies."""
    yield Run(number)
    if number < N_TWICE:  # so that a table that is partly filled tells what a seed makes
        yield Run(number, seed=1)
    for density in sorted(DENSITIES, reverse=True):
        for exponent in exponents(density):
            yield Run(number, density, exponent)
    yield Run(number, min(DENSITIES), EXPONENT, pruner=CONTROL)


def longer_pass(number: int) -> Iterator[Run]:
    """Of a config that is trained for longer: what tells the best learning rates apart."""
    yield Run(number)
    for density in DENSITIES[:2]:
        for exponent in exponents(density):
            yield Run(number, density, exponent)


def exponents(density: float) -> tuple[float, ...]:
    """With which a proxy is trained; the stronger ones where the network is narrow and cheap."""
    return (0.0, EXPONENT) if density == max(DENSITIES) else (0.0, EXPONENT, *STRONGER)


def complete(
    rows: Iterable[Row], wanted: Callable[[int], Iterable[Run]] = first_pass
) -> dict[int, dict[Run, Row]]:
    """Config number → its trainings, for configs of which none is missing."""
    found: dict[int, dict[Run, Row]] = defaultdict(dict)
    for row in rows:
        found[row.number][row.run] = row
    return {n: runs for n, runs in sorted(found.items()) if all(r in runs for r in wanted(n))}


def read(path: Path) -> list[Row]:
    """The rows of a file, without lines that were cut."""
    lines = path.read_text().splitlines() if path.exists() else []
    return [Row(**row) for line in lines if (row := _whole(line))]


def _whole(line: str) -> dict[str, Any] | None:
    """What a line holds; None where it was cut, since the command was killed."""
    try:
        row: dict[str, Any] = json.loads(line)
    except json.JSONDecodeError:
        return None
    return row


def fill(nets: Sequence[str], images: Images, folder: Path, n_configs: int = N_CONFIGS) -> None:
    """Trains what is missing, config by config, and the best ones so far under further seeds.

    One further seed says how a second look would have decided; a third one decides nothing, so that
    it can say what a config that was found is worth, whatever found it.

    Args:
        nets: names of the networks.
        images: to train on.
        folder: of the tables, one ``cifar_<net>.jsonl`` each.
        n_configs: how many there are to be.
    """
    tables = {net: _Filler(net, images, folder, n_configs) for net in nets}
    for number in range(n_configs):
        for table in tables.values():
            table.add(first_pass(number))
        if (number + 1) % EVERY and number + 1 < n_configs:
            continue
        for table in tables.values():
            best = table.best(math.ceil(BEST * (number + 1)))
            table.add(Run(number, seed=seed) for number in best for seed in (SECOND_LOOK, JUDGE))


def fill_longer(nets: Sequence[str], images: Images, folder: Path, n_configs: int) -> None:
    """Trains some of the configs for longer, in tables of their own, ``cifar_<net>_longer.jsonl``.

    Args:
        nets: names of the networks.
        images: to train on.
        folder: of the tables.
        n_configs: how many.
    """
    tables = [_Filler(net, images, folder, n_configs, times=LONGER) for net in nets]
    for number in range(n_configs):
        for table in tables:
            table.add(longer_pass(number))


class _Filler:
    """One table, open for adding to it."""

    def __init__(
        self, net: str, images: Images, folder: Path, n_configs: int, *, times: int = 1
    ) -> None:
        self._net, self._images, self._times = net, images, times
        self._path = folder / f"cifar_{net}{'_longer' if times > 1 else ''}.jsonl"
        self._task = TASKS[net]
        self._configs = configs(self._task, net, n_configs)
        inputs = images.train[0][:64]
        pruners = {PRUNER: L1StructuredPruner(), CONTROL: RandomPruner()}
        self._networks = {
            name: NetworkFactory(self._task.build, pruner, inputs)
            for name, pruner in pruners.items()
        }
        self._ratios: dict[float, float] = {1.0: 1.0}
        folder.mkdir(parents=True, exist_ok=True)
        self._done = {row.run for row in read(self._path)}
        if self._path.exists() and not self._path.read_text().endswith("\n"):
            with self._path.open("a") as file:
                file.write("\n")  # ends a line that was cut

    def add(self, runs: Iterable[Run]) -> None:
        for run in runs:
            if run not in self._done:
                row = self._train(run)
                with self._path.open("a") as file:
                    file.write(json.dumps(asdict(row), separators=(",", ":")) + "\n")
                self._done.add(run)
                print(f"{self._net} {run} {row.value:.3f} {row.seconds:.1f} s", flush=True)

    def best(self, n: int) -> list[int]:
        """Numbers of the configs with which the full network is best."""
        values = {row.number: row.value for row in read(self._path) if row.run == Run(row.number)}
        return sorted(values, key=lambda number: -values[number])[:n]

    def _train(self, run: Run) -> Row:
        config = self._configs[run.number]
        ratio = self._width_ratio(run.density)
        transfer = PowerLawTransfer(exponent=run.exponent)
        seeds = run.seeds(self._net)
        network = self._networks[run.pruner].network(
            config, density=run.density, seed=seeds.spawn(1)[0]
        )
        began = time.process_time()
        seed = int(seeds.generate_state(1)[0])
        torch.manual_seed(seed)
        lawful = transferred(config, transfer.exponents(self._task.space, History()), ratio)
        reports = train(network, self._task, lawful, self._images, seed=seed, times=self._times)
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
            test=round(accuracy(network, self._images.test), 4),
            seconds=round(seconds, 1),
            pruner=run.pruner,
        )

    def _width_ratio(self, density: float) -> float:
        """Which depends on the widths of the layers alone."""
        if density not in self._ratios:
            proxy = self._networks[PRUNER].measured(
                self._configs[0], density=density, seed=np.random.SeedSequence(0)
            )
            self._ratios[density] = proxy.width_ratio
        return self._ratios[density]
