"""Measures step times by network, density and batch size, from which replays compute costs."""

from __future__ import annotations

import json
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.cifar.networks import TASKS
from benchmarks.cifar.table import DENSITIES
from benchmarks.cifar.training import load, sizes
from benchmarks.images import Part
from proxyhpo._proxy import NetworkFactory
from proxyhpo.pruners import L1StructuredPruner

__all__ = ["Costs", "batches", "measure"]

EVALUATED = 128  # examples at a time
Times = dict[str, dict[str, dict[str, float]]]
"""Network → density → what (a batch size, "example" for evaluating one, "making") → seconds."""


def batches(net: str) -> Sequence[int]:
    """The batch sizes in the space."""
    choices = TASKS[net].space["batch_size"]
    return tuple(choices.values)


@dataclass(frozen=True)
class Costs:
    """Computes the seconds of trainings from the times of their parts.

    Args:
        times: as :func:`measure` returns them.
    """

    times: Times

    @classmethod
    def read(cls, path: Path) -> Costs:
        """Reads the measured times.

        Raises:
            FileNotFoundError: names the command that measures them.
        """
        if not path.exists():
            raise FileNotFoundError(f"no {path}: run `python -m benchmarks.cifar steps` first")
        return cls(json.loads(path.read_text())["seconds"])

    def knows(self, net: str, density: float) -> bool:
        """Whether the steps of a density have been measured."""
        return f"{density:.4g}" in self.times[net]

    def seconds(self, net: str, density: float, batch_size: int, epochs: int) -> float:
        """Seconds of building a network and of this many epochs with validation."""
        parts, size = self.times[net][f"{density:.4g}"], sizes(net)
        steps = size.epoch // batch_size
        epoch = steps * parts[str(batch_size)] + size.validation * parts["example"]
        return parts["making"] + epochs * epoch

    def ratio(self, net: str, density: float, batch_size: int) -> float:
        """How many times faster a step is than the full network's."""
        full, own = (self.times[net][f"{each:.4g}"][str(batch_size)] for each in (1.0, density))
        return full / own


def measure(images: Path, repeats: int = 15) -> dict[str, Any]:
    """Medians of interleaved repeats, in CPU seconds; needs an idle core.

    Repeats are interleaved, so that a temporary slowdown affects all densities alike.

    Args:
        images: path of CIFAR-10.
        repeats: of each step.
    """
    seconds: Times = {net: _measured(net, load(net, images).train, repeats) for net in TASKS}
    return {"repeats": repeats, "seconds": seconds}


def _measured(net: str, part: Part, repeats: int) -> dict[str, dict[str, float]]:
    task = TASKS[net]
    config = task.space.center()
    networks = NetworkFactory(task.build, L1StructuredPruner(), part[0][:64])
    seeds = np.random.SeedSequence(0)
    actions: dict[tuple[float, str], Callable[[], object]] = {}
    for density in (1.0, *DENSITIES):
        make = partial(networks.network, config, density=density, seed=seeds)
        network = make()
        make()  # the first one is checked and traced
        optimizer = task.optimizer(network, config)
        for size in batches(net):
            actions[density, str(size)] = _step(network, optimizer, part, size)
        actions[density, "example"] = _evaluation(network, part)
        actions[density, "making"] = make
    times = defaultdict(list)
    for repeat in range(repeats + 2):
        for key, action in actions.items():
            began = time.process_time()
            action()
            if repeat >= 2:  # the first ones warm up
                times[key].append(time.process_time() - began)
    found: dict[str, dict[str, float]] = defaultdict(dict)
    for (density, what), taken in times.items():
        each = statistics.median(taken) / (EVALUATED if what == "example" else 1)
        found[f"{density:.4g}"][what] = float(f"{each:.4g}")
    return found


def _step(
    network: nn.Module, optimizer: torch.optim.Optimizer, part: Part, size: int
) -> Callable[[], object]:
    inputs, labels = (each[:size] for each in part)

    def step() -> None:
        network.train()
        optimizer.zero_grad()
        F.cross_entropy(network(inputs).flatten(0, -2), labels.flatten()).backward()
        optimizer.step()

    return step


def _evaluation(network: nn.Module, part: Part) -> Callable[[], object]:
    inputs = part[0][:EVALUATED]

    @torch.no_grad()
    def evaluate() -> object:
        network.eval()
        return network(inputs)

    return evaluate
