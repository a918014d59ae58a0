"""The three kinds of search that the experiment compares."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from benchmarks.paper.training import Meter, Scale, Training
from benchmarks.rows import Row, Rows
from proxyhpo import Float, ProxyHPO, Result, Rung

__all__ = ["ARMS", "SEARCHERS", "SPACE", "Cell", "search"]

SPACE = {
    "lr": Float(1e-4, 1, log=True),
    "momentum": Float(0.5, 0.99),
    "weight_decay": Float(1e-5, 1e-2, log=True),
}

SEARCHERS = ["tpe", "bayesian", "cma-es"]

_PAPERS_DENSITY = 0.3

ARMS: dict[str, Mapping[str, Any]] = {
    "full": {"ladder": [Rung(1)], "stopper": None},
    "paper": {
        "ladder": [Rung(_PAPERS_DENSITY, keep=1), Rung(1)],
        "pruner": "l1-structured",
        "transfer": "identity",
        "stopper": None,
    },
    "proxyhpo": {},
}
"""Name → arguments of ``ProxyHPO``.

They are those of a search on the full network; of a search on proxies with an unchanged learning
rate, whose best config alone is trained on the full network; and the defaults.
"""


@dataclass(frozen=True)
class Cell:
    """One row of the experiment's table.

    Args:
        data: name of the data set.
        network: name of the network.
        searcher: name.
        trials: of each search.
        seed: of each search.
    """

    data: str
    network: str
    searcher: str
    trials: int
    seed: int = 0

    def of(self, arm: str, scale: Scale) -> Row:
        """The description of one of its searches in the file of rows."""
        return {"arm": arm, "scale": scale.name, **vars(self)}


def search(cell: Cell, arm: str, training: Training, trainings: Rows) -> Row:
    """Runs one search: the config that it returns, what it cost, and each of its trainings.

    Args:
        cell: what to search.
        arm: how to search.
        training: the training function for the cell's data set.
        trainings: the complete trainings of earlier runs; new ones are added.
    """
    scale = training.scale
    # The weights and the config do not show how a proxy's updates are scaled.
    of = {"scale": scale.name, "data": cell.data, "arm": arm if arm == "proxyhpo" else "any"}
    meter = Meter(training, trainings, of)
    images = training.data.train[0][: scale.batch_size]
    classes = training.data.classes
    hpo = ProxyHPO(
        lambda: scale.networks[cell.network](classes),
        meter.__call__,
        SPACE,
        example_inputs=training.scaled(images).cpu(),
        direction="maximize",
        searcher=cell.searcher,
        seed=cell.seed,
        device=str(training.device),
        progress=sys.stderr.isatty(),
        **ARMS[arm],
    )
    result = hpo.run(cell.trials)
    if result.interrupted:
        sys.exit("interrupted: run the command again to resume")
    best = result.best_record
    return {
        "config": best.config,
        "validation": best.value,
        "seconds": meter.seconds,
        "runs": _runs(result),
        "device": _device(training.device),
    }


def _runs(result: Result) -> list[Row]:
    return [
        {
            "trial": record.trial,
            "density": result.measured[record.rung].density,
            "config": record.config,
            "state": record.state,
            "value": record.value,
            "seconds": record.seconds,
        }
        for record in result.records
    ]


def _device(device: torch.device) -> str:
    return torch.cuda.get_device_name() if device.type == "cuda" else platform.machine()
