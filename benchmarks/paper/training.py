"""Trains as the paper does, at two scales, and measures the cost without repeating trainings."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.augmenting import flipped, moved
from benchmarks.image_files import ImageData, Part
from benchmarks.paper.networks import NETWORKS, SMALL_NETWORKS
from benchmarks.rows import Row, Rows

__all__ = ["FULL", "SMALL", "Meter", "Scale", "Training"]

_DROPS = (0.5, 0.75)
"""After which fractions of the training the learning rate falls to a tenth."""

_FEW_CLASSES = 10

_Most = tuple[int | None, int | None, int | None]
_ALL: _Most = (None, None, None)


@dataclass(frozen=True)
class Scale:
    """How large the experiment is.

    Args:
        name: of the scale.
        networks: name → what makes the network for a number of classes.
        epochs: of a full training.
        batch_size: of a step.
        side: of the images, in pixels; None for as they are.
        most: images of each part (train, validation, test); None for all.
        most_of_many_classes: likewise for data sets with more than 10 classes, which need more.
        trials: of a search.
    """

    name: str
    networks: Mapping[str, Callable[[int], nn.Module]]
    epochs: int
    batch_size: int
    side: int | None
    most: _Most
    most_of_many_classes: _Most
    trials: int

    def images(self, data: ImageData) -> ImageData:
        """The images of a data set that this scale uses."""
        is_hard = data.classes > _FEW_CLASSES
        return data.smaller(self.side, self.most_of_many_classes if is_hard else self.most)


SMALL = Scale(
    "small", SMALL_NETWORKS, epochs=4, batch_size=64, side=16,
    most=(2000, 1500, None), most_of_many_classes=(4000, 1500, None), trials=20,
)  # fmt: skip
"""For a CPU: a full training takes about 10 seconds, and twice that for many classes."""

FULL = Scale(
    "full", NETWORKS, epochs=160, batch_size=256, side=None,
    most=_ALL, most_of_many_classes=_ALL, trials=100,
)  # fmt: skip
"""The paper's."""


@dataclass(frozen=True)
class Training:
    """A training function for ``ProxyHPO``: SGD, Nesterov momentum, two drops of the learning rate.

    Args:
        data: on the device.
        scale: the number of epochs and the size of batches.
        device: to train on.
    """

    data: ImageData
    scale: Scale
    device: torch.device

    def __call__(self, network: nn.Module, config: Mapping[str, Any]) -> Iterator[float]:
        """Yields the accuracy on the validation images after each epoch."""
        for _ in self._epochs(network, config):
            yield self.accuracy(network, self.data.validation)

    def to_the_end(self, network: nn.Module, config: Mapping[str, Any]) -> None:
        """Trains without evaluating."""
        for _ in self._epochs(network, config):
            pass

    @torch.no_grad()
    def accuracy(self, network: nn.Module, part: Part) -> float:
        """The share of the images that the network classifies correctly."""
        network.eval()
        images, labels = part
        right = [
            (network(self.scaled(batch)).argmax(1) == of_batch).sum()
            for batch, of_batch in zip(images.split(1000), labels.split(1000), strict=True)
        ]
        return float(torch.stack(right).sum() / len(labels))

    def _epochs(self, network: nn.Module, config: Mapping[str, Any]) -> Iterator[None]:
        images, labels = self.data.train
        size, epochs = self.scale.batch_size, self.scale.epochs
        steps = -(-len(labels) // size)
        drops = [max(1, round(part * steps * epochs)) for part in _DROPS]
        network.to(self.device)
        optimizer = torch.optim.SGD(
            network.parameters(),
            lr=config["lr"],
            momentum=config["momentum"],
            weight_decay=config["weight_decay"],
            nesterov=True,
        )
        schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, drops, gamma=0.1)
        for _ in range(epochs):
            network.train()
            for batch in torch.randperm(len(labels), device=self.device).split(size):
                optimizer.zero_grad()
                outputs = network(self.scaled(_augmented(images[batch])))
                F.cross_entropy(outputs, labels[batch]).backward()
                optimizer.step()
                schedule.step()
            yield

    @staticmethod
    def scaled(images: Tensor) -> Tensor:
        """uint8 as numbers around 0, by roughly the mean and deviation of natural images."""
        return (images.float() / 255 - 0.45) / 0.25


class Meter:
    """A training function that measures what its trainings cost, and runs none of them twice.

    A training is identified by the network's initial weights, the config and the seed. An
    interrupted search starts again, and its complete trainings are replayed. If two searches of
    one network propose the same config for the same trial, they share the training. A replayed
    training is charged with the seconds that it took when it ran.

    Args:
        training: to measure.
        known: complete trainings of earlier runs.
        of: further facts that distinguish trainings.
    """

    def __init__(self, training: Training, known: Rows, of: Row) -> None:
        self._training, self._known, self._of = training, known, of
        # On a CPU the process' own time, since other processes may compete for the cores.
        on_cpu = training.device.type == "cpu"
        self._clock = time.process_time if on_cpu else time.perf_counter
        self._began = self._clock()
        self._replayed = 0.0

    @property
    def seconds(self) -> float:
        """Spent since the meter was made, as if nothing had been replayed."""
        return self._clock() - self._began + self._replayed

    def __call__(
        self, network: nn.Module, config: Mapping[str, Any], seed: int
    ) -> Iterator[dict[str, float]]:
        """Yields the validation accuracy after each epoch, with the seconds so far."""
        of = {**self._of, "weights": _digest(network), "config": dict(config), "seed": seed}
        known = self._known.get(of)
        if known is not None:
            before = 0.0
            for report in known["reports"]:
                self._replayed += report["seconds"] - before
                before = report["seconds"]
                yield report
            return
        reports: list[dict[str, float]] = []
        began = self._clock()
        for value in self._training(network, config):
            reports.append({"value": value, "seconds": self._clock() - began})
            yield reports[-1]
        self._known.add(of, {"reports": reports})


def _digest(network: nn.Module) -> str:
    digest = hashlib.sha256()
    for value in network.state_dict().values():
        digest.update(value.detach().cpu().numpy().tobytes())
    return digest.hexdigest()[:16]


def _augmented(images: Tensor) -> Tensor:
    """Images flipped at random, and moved by up to an eighth of their sides."""
    images = moved(flipped(images), images.shape[2] // 8)
    return images.contiguous()  # the memory format affects how convolutions round
