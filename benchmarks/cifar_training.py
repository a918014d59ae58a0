"""What the networks are trained on, and one training."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.cifar_networks import CONTEXT, TASKS, Task
from benchmarks.images import Part, accuracy, read_cifar10
from benchmarks.text import read_sources

__all__ = ["Examples", "Sizes", "load", "sizes", "train"]

EPOCHS = 5
WARM_UP = 0.1  # of the steps, where it is not searched


@dataclass(frozen=True)
class Sizes:
    """How many examples there are, at most.

    Args:
        train: to train on.
        epoch: of these in an epoch.
        validation: to select by.
        test: to test with.
    """

    train: int
    epoch: int
    validation: int
    test: int


SIZES = {"perceptron": Sizes(3000, 3000, 3000, 5000), "language": Sizes(5000, 128, 128, 256)}
OTHERS = Sizes(2000, 2000, 1500, 2500)


def sizes(net: str) -> Sizes:
    """Of the data set of a network."""
    return SIZES.get(net, OTHERS)


@dataclass(frozen=True)
class Examples:
    """A data set in three parts.

    Args:
        train: to train on.
        validation: to select by.
        test: to look at when everything has been decided.
        in_epoch: examples that an epoch draws.
    """

    train: Part
    validation: Part
    test: Part
    in_epoch: int


def load(net: str, path: Path | None) -> Examples:
    """The examples for a network, the same ones at every call.

    Args:
        net: name of the network.
        path: of CIFAR-10, see :func:`~benchmarks.images.read_cifar10`; only text does without.
    """
    size = sizes(net)
    most = {"train": size.train, "validation": size.validation, "test": size.test}
    if TASKS[net].is_text:
        return Examples(*read_sources(CONTEXT, **most), size.epoch)
    if path is None:
        raise SystemExit(f"{net} is trained on CIFAR-10: --data must say where it is")
    images = read_cifar10(path, **most)
    return Examples(images.train, images.validation, images.test, size.epoch)


def train(
    network: nn.Module,
    task: Task,
    config: Mapping[str, Any],
    examples: Examples,
    *,
    seed: int,
    times: int = 1,
) -> Iterator[float]:
    """Trains under a cosine schedule with a short warm-up; yields the validation accuracy.

    Once an epoch; the last time when the loss is no longer finite, if that happens.

    Args:
        network: of the task, of any width.
        task: says which optimizer.
        config: of the task's space; the learning rate may lie outside.
        examples: to train on and to validate with.
        seed: of the order of the examples and of what is done to them.
        times: as long as usual.
    """
    epochs = times * EPOCHS
    generator = torch.Generator().manual_seed(seed)
    inputs, labels = examples.train
    optimizer = task.optimizer(network, config)
    set_dropout(network, config.get("dropout"))
    in_epoch = min(examples.in_epoch, len(inputs))
    size = min(config["batch_size"], in_epoch)
    steps = in_epoch // size
    fraction = _schedule(epochs * steps, config.get("warm_up", WARM_UP))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, fraction)
    for _ in range(epochs):
        network.train()
        losses = []
        for batch in torch.randperm(len(inputs), generator=generator)[: steps * size].split(size):
            each = inputs[batch] if task.is_text else _flipped(inputs[batch], generator)
            loss = F.cross_entropy(
                network(each).flatten(0, -2),
                labels[batch].flatten(),
                label_smoothing=config.get("label_smoothing", 0.0),
            )
            optimizer.zero_grad()
            loss.backward()
            if "clipping" in config:
                nn.utils.clip_grad_norm_(network.parameters(), config["clipping"])
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
            if not math.isfinite(losses[-1]):
                break
        yield accuracy(network, examples.validation)
        if not math.isfinite(losses[-1]):
            return


def set_dropout(network: nn.Module, probability: float | None) -> None:
    """Where it is searched."""
    for module in network.modules():
        if isinstance(module, nn.Dropout) and probability is not None:
            module.p = probability


def _schedule(steps: int, share: float) -> Any:
    """Step → fraction of the learning rate."""
    warm_up = max(1, round(share * steps))

    def fraction(step: int) -> float:
        if step < warm_up:
            return (step + 1) / warm_up
        return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up)))

    return fraction


def _flipped(inputs: Tensor, generator: torch.Generator) -> Tensor:
    """Each image as it is or as a mirror would show it."""
    flip = torch.rand(len(inputs), generator=generator) < 0.5
    return torch.where(flip[:, None, None, None], inputs.flip(3), inputs)
