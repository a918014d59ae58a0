"""CIFAR-10 at 16x16, and one training on it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.cifar_networks import Task
from benchmarks.images import Images, accuracy, read_cifar10

__all__ = ["load", "train"]

EPOCHS = 5
SIZES = {"train": 2000, "validation": 1500, "test": 2500}  # at most
WARM_UP = 0.1  # of the steps


def load(path: Path) -> Images:
    """The images of this benchmark, the same ones at every call."""
    return read_cifar10(path, **SIZES)


def train(
    network: nn.Module,
    task: Task,
    config: Mapping[str, Any],
    images: Images,
    *,
    seed: int,
    times: int = 1,
) -> Iterator[float]:
    """Trains under a cosine schedule with a short warm-up; yields the validation accuracy.

    Once an epoch; the last time when the loss is no longer finite, if that happens.

    Args:
        network: of the task, of any width.
        task: says which optimiser.
        config: of the task's space; the learning rate may lie outside.
        images: to train on and to validate with.
        seed: of the order of the images and of what is done to them.
        times: as long as usual.
    """
    epochs = times * EPOCHS
    generator = torch.Generator().manual_seed(seed)
    inputs, labels = images.train
    smoothing = config["label_smoothing"]
    optimizer = task.optimizer(network, config)
    size = min(config["batch_size"], len(inputs))
    in_epoch = len(inputs) // size
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, _schedule(epochs * in_epoch))
    for _ in range(epochs):
        network.train()
        losses = []
        for batch in torch.randperm(len(inputs), generator=generator)[: in_epoch * size].split(
            size
        ):
            logits = network(_flipped(inputs[batch], generator))
            loss = F.cross_entropy(logits, labels[batch], label_smoothing=smoothing)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
            if not math.isfinite(losses[-1]):
                break
        yield accuracy(network, images.validation)
        if not math.isfinite(losses[-1]):
            return


def _schedule(steps: int) -> Any:
    """Step → fraction of the learning rate."""
    warm_up = max(1, round(WARM_UP * steps))

    def fraction(step: int) -> float:
        if step < warm_up:
            return (step + 1) / warm_up
        return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up)))

    return fraction


def _flipped(inputs: Tensor, generator: torch.Generator) -> Tensor:
    """Each image as it is or as a mirror would show it."""
    flip = torch.rand(len(inputs), generator=generator) < 0.5
    return torch.where(flip[:, None, None, None], inputs.flip(3), inputs)
