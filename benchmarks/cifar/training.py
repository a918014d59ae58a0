"""Loads the data of the networks, and trains one network."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.augmenting import cut_out, flipped, moved
from benchmarks.cifar.networks import CONTEXT, TASKS, Task
from benchmarks.images import Part, accuracy, read_cifar10
from benchmarks.text import read_sources

__all__ = ["Examples", "Sizes", "load", "load_sizes", "sizes", "train"]

EPOCHS = 5
WARM_UP = 0.1  # of the steps, where it is not searched


@dataclass(frozen=True)
class Sizes:
    """Maximum numbers of examples.

    Args:
        train: for training.
        epoch: how many of them are used in an epoch.
        validation: for validation.
        test: for the test.
    """

    train: int
    epoch: int
    validation: int
    test: int


SIZES = {"perceptron": Sizes(3000, 3000, 3000, 5000), "language": Sizes(5000, 128, 128, 256)}
OTHERS = Sizes(2000, 2000, 1500, 2500)


def sizes(net: str) -> Sizes:
    """The numbers for the data set of a network."""
    return SIZES.get(net, OTHERS)


@dataclass(frozen=True)
class Examples:
    """A data set in three parts.

    Args:
        train: for training.
        validation: for validation.
        test: used only after every decision.
        in_epoch: number of examples in an epoch.
    """

    train: Part
    validation: Part
    test: Part
    in_epoch: int


def load(net: str, path: Path | None) -> Examples:
    """The examples for a network of the tables, the same ones at every call.

    Args:
        net: name of the network.
        path: of CIFAR-10, see :func:`~benchmarks.images.read_cifar10`; not needed for text.
    """
    return load_sizes(net, sizes(net), path, is_text=TASKS[net].is_text)


def load_sizes(net: str, size: Sizes, path: Path | None, *, is_text: bool) -> Examples:
    """The given numbers of examples, the same ones at every call."""
    most = {"train": size.train, "validation": size.validation, "test": size.test}
    if is_text:
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
    epochs: int = EPOCHS,
) -> Iterator[float]:
    """Trains with a short warm-up and a cosine schedule; yields the validation accuracy.

    It yields once per epoch, and ends if the loss is not finite.

    Args:
        network: the network of the task, of any width.
        task: provides the optimizer.
        config: of the task's space; the learning rate may lie outside of it.
        examples: to train on and to validate with.
        seed: of the order of the examples and of their augmentation.
        epochs: of the whole training.
    """
    generator = torch.Generator().manual_seed(seed)
    inputs, labels = examples.train
    optimizer = task.optimizer(network, config)
    set_dropout(network, config.get("dropout"))
    _scale_matrices(network, config.get("init_scale", 1.0))
    in_epoch = min(examples.in_epoch, len(inputs))
    size = min(config["batch_size"], in_epoch)
    steps = in_epoch // size
    warm_up, floor = config.get("warm_up", WARM_UP), config.get("lr_floor", 0.0)
    fraction = _schedule(epochs * steps, warm_up, floor)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, fraction)
    for _ in range(epochs):
        network.train()
        losses = []
        for batch in torch.randperm(len(inputs), generator=generator)[: steps * size].split(size):
            each = inputs[batch]
            if not task.is_text:
                each = _augmented(each, config, generator)
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
    """Sets the dropout of the config, if it has one."""
    for module in network.modules():
        if isinstance(module, nn.Dropout) and probability is not None:
            module.p = probability


@torch.no_grad()
def _scale_matrices(network: nn.Module, scale: float) -> None:
    """Multiplies the initial weights, but not biases and norms."""
    if scale != 1:
        for parameter in network.parameters():
            if parameter.ndim > 1:
                parameter.mul_(scale)


def _schedule(steps: int, share: float, floor: float) -> Any:
    """Step → fraction of the learning rate. At the end it is ``floor``."""
    warm_up = max(1, round(share * steps))

    def fraction(step: int) -> float:
        if step < warm_up:
            return (step + 1) / warm_up
        cosine = 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up)))
        return floor + (1 - floor) * cosine

    return fraction


def _augmented(inputs: Tensor, config: Mapping[str, Any], generator: torch.Generator) -> Tensor:
    """Images that are flipped, and moved and cut out where that is searched."""
    inputs = flipped(inputs, generator)
    if most := config.get("crop", 0):
        inputs = moved(inputs, most, generator)
    if side := config.get("cut_out", 0):
        inputs = cut_out(inputs, side, generator)
    return inputs
