"""What a step takes, by network, density and batch size: the costs that replays are charged."""

from __future__ import annotations

import json
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.cifar_networks import TASKS
from benchmarks.cifar_table import DENSITIES
from benchmarks.cifar_training import SIZES
from proxyhpo._proxy import NetworkFactory
from proxyhpo.pruners import L1StructuredPruner

__all__ = ["BATCHES", "Costs", "measure"]

BATCHES = (32, 64, 128)
EVALUATED = 500  # images at a time
Times = dict[str, dict[str, dict[str, float]]]
"""Network → density → what (a batch size, "image" for evaluating one, "making") → seconds."""


@dataclass(frozen=True)
class Costs:
    """Seconds of trainings, from the times of their parts.

    Args:
        times: as :func:`measure` returns them.
    """

    times: Times

    @classmethod
    def read(cls, path: Path) -> Costs:
        """Reads what has been measured.

        Raises:
            FileNotFoundError: naming the command that measures.
        """
        if not path.exists():
            raise FileNotFoundError(f"no {path}: run `python -m benchmarks.cifar steps` first")
        return cls(json.loads(path.read_text())["seconds"])

    def seconds(self, net: str, density: float, batch_size: int, epochs: int) -> float:
        """Of making a network, and of this many epochs, each with a validation."""
        parts = self.times[net][str(density)]
        steps = SIZES["train"] // batch_size
        epoch = steps * parts[str(batch_size)] + SIZES["validation"] * parts["image"]
        return parts["making"] + epochs * epoch

    def ratio(self, net: str, density: float, batch_size: int) -> float:
        """How many times faster a step is than the full network's."""
        full, own = (self.times[net][str(each)][str(batch_size)] for each in (1.0, density))
        return full / own


def measure(repeats: int = 15) -> dict[str, Any]:
    """Medians of interleaved repeats, in seconds of the processor; to be run on an idle core.

    Interleaved, so that whatever slows the machine for a while slows all densities alike.
    """
    seconds: Times = {net: _measured(net, repeats) for net in TASKS}
    return {"repeats": repeats, "seconds": seconds}


def _measured(net: str, repeats: int) -> dict[str, dict[str, float]]:
    task = TASKS[net]
    config = task.space.center()
    networks = NetworkFactory(task.build, L1StructuredPruner(), torch.randn(64, 3, 16, 16))
    seeds = np.random.SeedSequence(0)
    actions: dict[tuple[float, str], Callable[[], object]] = {}
    for density in (1.0, *DENSITIES):
        make = _maker(networks, config, density, seeds)
        network = make()
        make()  # the first one is checked and traced
        optimizer = task.optimizer(network, config)
        for size in BATCHES:
            actions[density, str(size)] = _step(network, optimizer, size)
        actions[density, "image"] = _evaluation(network)
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
        each = statistics.median(taken) / (EVALUATED if what == "image" else 1)
        found[str(density)][what] = float(f"{each:.4g}")
    return found


def _maker(
    networks: NetworkFactory, config: dict[str, Any], density: float, seed: np.random.SeedSequence
) -> Callable[[], nn.Module]:
    return lambda: networks.network(config, density=density, seed=seed)


def _step(network: nn.Module, optimizer: torch.optim.Optimizer, size: int) -> Callable[[], object]:
    images, labels = torch.randn(size, 3, 16, 16), torch.randint(10, (size,))

    def step() -> None:
        network.train()
        optimizer.zero_grad()
        F.cross_entropy(network(images), labels).backward()
        optimizer.step()

    return step


def _evaluation(network: nn.Module) -> Callable[[], object]:
    images = torch.randn(EVALUATED, 3, 16, 16)

    @torch.no_grad()
    def evaluate() -> object:
        network.eval()
        return network(images)

    return evaluate
