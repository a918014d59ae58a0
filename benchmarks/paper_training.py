"""How the paper trains: SGD with Nesterov's momentum, the learning rate falling twice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.paper_data import ImageData, Part, load

__all__ = ["Training", "Trainings", "augmented"]

_DROPS = (0.5, 0.75)
"""After which fractions of the training the learning rate falls to a tenth."""
_PADDING = 4


@dataclass(frozen=True)
class Training:
    """A training function for ``ProxyHPO``.

    Args:
        data: on the device.
        epochs: of a full training.
        device: to train on.
    """

    data: ImageData
    epochs: int
    device: torch.device

    def __call__(self, network: nn.Module, config: Mapping[str, Any]) -> Iterator[float]:
        """Yields the accuracy on the validation images after each epoch."""
        for _ in self._epochs(network, config):
            yield self.accuracy(network, self.data.validation)

    def to_the_end(self, network: nn.Module, config: Mapping[str, Any]) -> None:
        """Trains without a look at any images but those to train on."""
        for _ in self._epochs(network, config):
            pass

    @torch.no_grad()
    def accuracy(self, network: nn.Module, part: Part) -> float:
        """The share of the images that the network tells right."""
        network.eval()
        images, labels = part
        right = [
            (network(self.scaled(batch)).argmax(1) == of_batch).sum()
            for batch, of_batch in zip(images.split(1000), labels.split(1000), strict=True)
        ]
        return float(torch.stack(right).sum() / len(labels))

    def _epochs(self, network: nn.Module, config: Mapping[str, Any]) -> Iterator[None]:
        images, labels = self.data.train
        size = config["batch_size"]
        steps = -(-len(labels) // size)
        drops = [max(1, round(part * steps * self.epochs)) for part in _DROPS]
        network.to(self.device)
        optimizer = torch.optim.SGD(
            network.parameters(),
            lr=config["lr"],
            momentum=config["momentum"],
            weight_decay=config["weight_decay"],
            nesterov=True,
        )
        schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, drops, gamma=0.1)
        for _ in range(self.epochs):
            network.train()
            for batch in torch.randperm(len(labels), device=self.device).split(size):
                optimizer.zero_grad()
                outputs = network(self.scaled(augmented(images[batch])))
                F.cross_entropy(outputs, labels[batch]).backward()
                optimizer.step()
                schedule.step()
            yield

    @staticmethod
    def scaled(images: Tensor) -> Tensor:
        """uint8 as numbers around 0, by roughly the mean and deviation of natural images."""
        return (images.float() / 255 - 0.45) / 0.25


class Trainings:
    """Training functions; of the data sets, the last one is held on the device.

    Args:
        folder: of the data sets.
        device: to train on.
        download: CIFAR, if it is not there.
    """

    def __init__(self, folder: Path, device: torch.device, *, download: bool) -> None:
        self._folder, self._device, self._download = folder, device, download
        self._held: tuple[str, int | None] | None = None
        self._data: ImageData | None = None

    def of(self, data: str, epochs: int, examples: int | None) -> Training:
        """Reads the data set if it is not held."""
        if self._data is None or self._held != (data, examples):
            self._data = None  # its memory, before the next one takes some
            read = load(data, self._folder, examples=examples, download=self._download)
            self._data, self._held = read.to(self._device), (data, examples)
        return Training(self._data, epochs, self._device)


def augmented(images: Tensor) -> Tensor:
    """Images of shape (B, C, H, W), each moved by up to 4 pixels and perhaps mirrored."""
    count, channels, height, width = images.shape
    device = images.device
    mirrored = torch.rand(count, 1, 1, 1, device=device) < 0.5
    padded = F.pad(torch.where(mirrored, images.flip(-1), images), [_PADDING] * 4)
    shifts = torch.randint(2 * _PADDING + 1, (2, count, 1), device=device)
    rows = shifts[0] + torch.arange(height, device=device)
    columns = shifts[1] + torch.arange(width, device=device)
    which = torch.arange(count, device=device)[:, None, None, None]
    channel = torch.arange(channels, device=device)[None, :, None, None]
    return padded[which, channel, rows[:, None, :, None], columns[:, None, None, :]]
