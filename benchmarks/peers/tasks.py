"""The tasks on which ``benchmarks.peers`` compares searches.

Each has eight to ten hyperparameters, about 3,000 images or characters to select by, at least 3,000
to test with, and full trainings of a few seconds of one core: a convolutional network on CIFAR-10
under SGD, a transformer that predicts the next character of a text under AdamW, and a perceptron on
CIFAR-10 under either optimizer, whose hyperparameters depend on it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from benchmarks.cifar.networks import CONTEXT, TASKS, LanguageModel, Task, perceptron, sgd
from benchmarks.cifar.training import Examples, Sizes, load_sizes, train
from benchmarks.images import accuracy
from proxyhpo import Choice, Config, Float, Int, Space

__all__ = ["PROBLEMS", "Clock", "Problem", "load_problem"]


@dataclass
class Clock:
    """CPU seconds that a search spent inside of trainings."""

    seconds: float = 0.0


@dataclass(frozen=True)
class Problem:
    """A network, its data, and how long it is trained.

    Args:
        name: of the task.
        task: the network, its optimizer and the space.
        examples: in three parts.
        epochs: of a full training.
        clock: measures its trainings.
    """

    name: str
    task: Task
    examples: Examples
    epochs: int
    clock: Clock = field(default_factory=Clock)

    @property
    def space(self) -> Space:
        """The space that is searched."""
        return self.task.space

    @property
    def chance(self) -> float:
        """Test accuracy of predicting the most frequent label for all examples."""
        return torch.bincount(self.examples.test[1].flatten()).max().item() / (
            self.examples.test[1].numel()
        )

    def train(
        self, network: nn.Module, config: Config, *, epochs: int | None = None
    ) -> Iterator[float]:
        """Yields the validation accuracy after each epoch."""
        seed = int(torch.randint(2**31, ()))
        reports = train(
            network, self.task, config, self.examples, seed=seed, epochs=epochs or self.epochs
        )
        while True:
            began = time.process_time()
            value = next(reports, None)
            self.clock.seconds += time.process_time() - began
            if value is None:
                return
            yield value

    def trained(
        self, config: Config, *seed: int, epochs: int | None = None
    ) -> Iterator[tuple[nn.Module, float]]:
        """A new full network in training, and its validation accuracy, after each epoch."""
        drawn = np.random.SeedSequence(seed).generate_state(1, np.uint64)[0]
        torch.manual_seed(int(drawn) >> 1)
        network = self.task.build()
        for value in self.train(network, config, epochs=epochs):
            yield network, value

    def value(self, config: Config, *seed: int, epochs: int | None = None) -> float:
        """The validation accuracy at the end of a training of the full network."""
        *_, (_, value) = self.trained(config, *seed, epochs=epochs)
        return value

    def quality(self, config: Config, seed: int) -> float:
        """Test accuracy of the full network, trained with a seed that no search has used."""
        *_, (network, _) = self.trained(config, 1, seed)
        return accuracy(network, self.examples.test)


def convolutional() -> nn.Module:
    """Three convolutions with batch normalisation, from 16x16 pixels to 2x2."""
    layers: list[nn.Module] = []
    before = 3
    for after, stride in ((64, 2), (128, 1), (256, 1)):
        layers += [nn.Conv2d(before, after, 3, stride, padding=1, bias=False)]
        layers += [nn.BatchNorm2d(after), nn.ReLU(), nn.MaxPool2d(2)]
        before = after
    layers[-1] = nn.AdaptiveAvgPool2d(1)
    return nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.0), nn.Linear(before, 10))


PROBLEMS: dict[str, tuple[Task, Sizes, int]] = {
    "convolutional": (
        Task(
            convolutional,
            sgd,
            Space(
                {
                    "lr": Float(1e-3, 3.0, log=True),
                    "lr_floor": Float(0.0, 0.3),
                    "warm_up": Float(0.0, 0.5),
                    "momentum": Float(0.0, 0.98),
                    "weight_decay": Float(1e-6, 1e-2, log=True),
                    "batch_size": Choice([32, 64, 128]),
                    "label_smoothing": Float(0.0, 0.3),
                    "crop": Int(0, 4),
                    "cut_out": Int(0, 8),
                    "dropout": Float(0.0, 0.5),
                }
            ),
        ),
        Sizes(1000, 1000, 3000, 3000),
        4,
    ),
    "language": (
        Task(
            partial(LanguageModel, dim=256, depth=2, heads=4),
            TASKS["language"].optimizer,
            Space({**TASKS["language"].space, "init_scale": Float(0.3, 3.0, log=True)}),
            is_text=True,
        ),
        Sizes(5000, 64, math.ceil(3000 / CONTEXT), 128),
        5,
    ),
    "perceptron": (
        Task(partial(perceptron, 512), TASKS["perceptron"].optimizer, TASKS["perceptron"].space),
        Sizes(2000, 2000, 3000, 3000),
        6,
    ),
}
"""Name → the task, the sizes of its data set, and its epochs."""


def load_problem(name: str, path: Path | None) -> Problem:
    """A task with its data.

    Args:
        name: of the task.
        path: of CIFAR-10, see :func:`~benchmarks.images.read_cifar10`; only text does without.
    """
    task, sizes, epochs = PROBLEMS[name]
    return Problem(name, task, load_sizes(name, sizes, path, is_text=task.is_text), epochs)
