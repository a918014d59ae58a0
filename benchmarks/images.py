"""Small labelled images for benchmarks on a CPU, from CIFAR-10."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.image_files import cifar10_in

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
    """The first images of each part, whose sides are halved by averaging.

    Args:
        path: of an archive, or of a folder in which torchvision finds CIFAR-10; see
            :mod:`benchmarks.image_files`.
        train: maximum number of images for training.
        validation: the same for validation.
        test: the same for the test.
    """
    parts = cifar10_in(path).smaller(None, (train, validation, test)).parts
    return _standardised([(F.avg_pool2d(i.float() / 255, 2), labels) for i, labels in parts])


def _standardised(parts: Sequence[Part]) -> Images:
    """The parts, standardised by the mean and deviation of each channel of the training images."""
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
