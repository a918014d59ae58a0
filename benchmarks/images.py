"""Small labelled images for benchmarks on a CPU, from a file of CIFAR-10."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["Images", "Part", "accuracy", "of_classes", "read_cifar10"]

Part = tuple[Tensor, Tensor]
"""Images of shape (N, C, H, W), standardised, and labels of shape (N,), int64."""


@dataclass(frozen=True)
class Images:
    """A data set in three parts.

    Args:
        train: to train on.
        validation: to select configs.
        test: to evaluate the final choice.
    """

    train: Part
    validation: Part
    test: Part

    @property
    def shape(self) -> torch.Size:
        """Of one image: (C, H, W)."""
        return self.train[0].shape[1:]


def read_cifar10(path: Path, *, train: int, validation: int, test: int) -> Images:
    """Images whose sides are halved by averaging; the same ones at every call.

    Args:
        path: of a file with ``train_images`` (uint8, (N, 3, H, W)), ``train_labels``, and the
            same of ``val`` and ``test``; or a folder in which torchvision finds CIFAR-10, of whose
            training images the last 5,000 are for validation.
        train: at most so many.
        validation: likewise.
        test: likewise.
    """
    arrays = _from_torchvision(path) if path.is_dir() else np.load(path)
    parts = []
    for name, most in (("train", train), ("val", validation), ("test", test)):
        images = torch.from_numpy(arrays[f"{name}_images"][:most])
        labels = torch.from_numpy(arrays[f"{name}_labels"][:most].astype(np.int64))
        parts.append((F.avg_pool2d(images.float() / 255, 2), labels))
    return _standardised(parts)


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


def _standardised(parts: Sequence[Part]) -> Images:
    """By the mean and deviation of each channel over the images to train on."""
    images, _ = parts[0]
    mean, std = (each((0, 2, 3), keepdim=True) for each in (images.mean, images.std))
    train, validation, test = (((each - mean) / std, labels) for each, labels in parts)
    return Images(train, validation, test)


def of_classes(part: Part, classes: Sequence[int], most: int | None = None) -> Part:
    """The images of some classes, the first few of each, labelled by the place in ``classes``."""
    images, labels = part
    chosen = [torch.nonzero(labels == label)[:most, 0] for label in classes]
    places = torch.cat([torch.full_like(own, place) for place, own in enumerate(chosen)])
    return images[torch.cat(chosen)], places


@torch.no_grad()
def accuracy(network: nn.Module, part: Part) -> float:
    """The fraction of labels for which the largest logit is right."""
    network.eval()
    images, labels = part
    right = [
        (network(each).argmax(-1) == truth).sum().item()
        for each, truth in zip(images.split(500), labels.split(500), strict=True)
    ]
    return sum(right) / labels.numel()
