"""CIFAR-10 at 16x16, and one training on it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.cifar_networks import Task

__all__ = ["Images", "accuracy", "load", "train"]

EPOCHS = 5
SIZES = {"train": 2000, "val": 1500, "test": 2500}  # at most
WARM_UP = 0.1  # of the steps
Part = tuple[Tensor, Tensor]
"""Images of shape (N, 3, 16, 16), standardised, and labels of shape (N,), int64."""


@dataclass(frozen=True)
class Images:
    """The three parts.

    Args:
        train: to train on.
        validation: to select by.
        test: to look at when everything has been decided.
    """

    train: Part
    validation: Part
    test: Part


def load(path: Path) -> Images:
    """Reads the images, the same ones at every call, and halves their sides.

    Args:
        path: of an ``.npz`` with ``train_images``, ``train_labels`` and the same of ``val`` and
            ``test``, images being uint8 of shape (N, 3, 32, 32); or a folder in which torchvision
            finds CIFAR-10, of whose training images the last 5,000 are for validation.
    """
    arrays = _from_torchvision(path) if path.is_dir() else np.load(path)
    parts = {}
    for name, most in SIZES.items():
        images = torch.from_numpy(arrays[f"{name}_images"][:most])
        labels = torch.from_numpy(arrays[f"{name}_labels"][:most].astype(np.int64))
        parts[name] = F.avg_pool2d(images.float() / 255, 2), labels
    train = parts["train"][0]
    mean, std = (each(dim=(0, 2, 3), keepdim=True) for each in (train.mean, train.std))
    return Images(*(((images - mean) / std, labels) for images, labels in parts.values()))


def _from_torchvision(folder: Path) -> Mapping[str, Any]:
    from torchvision.datasets import CIFAR10  # noqa: PLC0415 - slow to import

    arrays = {}
    for name, is_train, span in (
        ("train", True, slice(45_000)),
        ("val", True, slice(45_000, None)),
        ("test", False, slice(None)),
    ):
        files = CIFAR10(folder, train=is_train)
        arrays[f"{name}_images"] = files.data[span].transpose(0, 3, 1, 2).copy()
        arrays[f"{name}_labels"] = np.array(files.targets[span])
    return arrays


def train(
    network: nn.Module, task: Task, config: Mapping[str, Any], images: Images, *, seed: int
) -> Iterator[float]:
    """Trains under a cosine schedule with a short warm-up; yields the validation accuracy.

    Once an epoch; the last time when the loss is no longer finite, if that happens.

    Args:
        network: of the task, of any width.
        task: says which optimiser.
        config: of the task's space; the learning rate may lie outside.
        images: to train on and to validate with.
        seed: of the order of the images and of what is done to them.
    """
    generator = torch.Generator().manual_seed(seed)
    inputs, labels = images.train
    smoothing = config["label_smoothing"]
    optimizer = task.optimizer(network, config)
    size = min(config["batch_size"], len(inputs))
    in_epoch = len(inputs) // size
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, _schedule(EPOCHS * in_epoch))
    for _ in range(EPOCHS):
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


@torch.no_grad()
def accuracy(network: nn.Module, part: Part) -> float:
    """The fraction of images of which the largest logit is right."""
    network.eval()
    images, labels = part
    right = [
        (network(each).argmax(1) == truth).sum().item()
        for each, truth in zip(images.split(500), labels.split(500), strict=True)
    ]
    return sum(right) / len(labels)
