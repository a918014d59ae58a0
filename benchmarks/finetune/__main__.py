"""Measures whether a pruned copy of a pretrained network ranks configs like the network itself.

    OMP_NUM_THREADS=1 python -m benchmarks.finetune --data cifar10.npz --configs 40
    python -m benchmarks.finetune --report

A convolutional network is trained on some classes of CIFAR-10 (at 16x16) and fine-tuned, with a new
head, on a few images of other classes. The random configs set the learning rates of body and head,
the weight decay and the batch size. They are trained on the network and on pruned copies of it. The
copies inherit the pretrained weights that the pruner keeps, and their learning rates are multiplied
by powers of the width ratio. No two trainings share a seed. The network itself is trained under a
second seed: no proxy can be expected to agree with it better than it agrees with itself.

Each training is one line of the results file, so the command can be killed and resumed.
``--report`` writes docs/benchmarks/finetune.md without training.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.finetune.report import Run, draw, page
from benchmarks.images import Images, of_classes, read_cifar10
from benchmarks.pages import write_page
from benchmarks.rows import Row, Rows
from proxyhpo import Choice, Config, Float, Space
from proxyhpo._proxy import NetworkFactory
from proxyhpo.pruners import L1StructuredPruner
from proxyhpo.transfers import LayerwiseTransfer, scaled_updates
from proxyhpo.transfers._exponents import transferred

SPACE = Space(
    {
        "lr": Float(1e-5, 3e-2, log=True),
        "head_lr": Float(1e-4, 1e-1, log=True),
        "weight_decay": Float(1e-5, 1.0, log=True),
        "batch_size": Choice([16, 32, 64]),
    }
)
TASKS = {
    "nine classes, then all ten": (range(9), range(10)),
    "five classes, then the other five": (range(5), range(5, 10)),
}
"""Name → the classes for pretraining, and those for fine-tuning."""

RUNS = [
    *(Run(1.0, 0.0, seed) for seed in (0, 1)),
    *(Run(density, exponent) for density, exponent in product((0.25, 0.5, 0.75), (0, -0.5, 0.5))),
    *(Run(density, 0.0, layerwise=True) for density in (0.25, 0.5, 0.75)),
]
"""The trainings of each config."""

SIZES = {"train": 10_000, "validation": 2000, "test": 1}
FEW = 400
"""Images to fine-tune on."""


@dataclass(frozen=True)
class FineTuning:
    """A network that was trained on some classes and is fine-tuned on others.

    Args:
        name: of the task.
        images: of all classes.
        width: channels of the first convolution.
        epochs: of pretraining, and of fine-tuning.
        weights: file in which the pretrained weights are kept.
    """

    name: str
    images: Images
    width: int
    epochs: tuple[int, int]
    weights: Path

    def row_of(self, number: int, run: Run) -> Row:
        """The description of a row of the file."""
        return row_of(self.name, self.width, self.epochs, number, run)

    def measure(self, number: int, run: Run) -> Row:
        """Fine-tunes with a config; returns the results and the seconds of the training."""
        config = SPACE.sample(np.random.default_rng(number))
        exponents = dict.fromkeys(("lr", "head_lr"), run.exponent)
        trained_config = transferred(config, exponents, self._width_ratio(run.density))
        correction = 30 if run.layerwise else round(10 * run.exponent) + 10
        seeds = np.random.SeedSequence([number, round(100 * run.density), correction, run.seed])
        made = self._networks.make(config, density=run.density, seed=seeds)
        rule = LayerwiseTransfer().update_rule() if run.layerwise else None
        torch.manual_seed(int(seeds.spawn(1)[0].generate_state(1, np.uint64)[0]) >> 1)
        began = time.process_time()
        with scaled_updates(made.network, made.fans, rule):
            self._fine_tune(made.network, trained_config)
        seconds = time.process_time() - began
        return {
            "accuracy": self._accuracy(made.network),
            "seconds": seconds,
            "config": trained_config,
        }

    def _fine_tune(self, network: nn.Module, config: Config) -> None:
        *body, head = network.children()
        groups = [
            {"params": nn.ModuleList(body).parameters(), "lr": config["lr"]},
            {"params": head.parameters(), "lr": config["head_lr"]},
        ]
        optimizer = torch.optim.AdamW(groups, weight_decay=config["weight_decay"])
        classes = TASKS[self.name][1]
        few = of_classes(self.images.train, classes, FEW // len(classes))
        _fit(network, optimizer, few, config["batch_size"], self.epochs[1])

    @torch.no_grad()
    def _accuracy(self, network: nn.Module) -> float:
        network.eval()
        images, labels = of_classes(self.images.validation, TASKS[self.name][1])
        outputs = torch.cat([network(batch) for batch in images.split(500)])
        return float((outputs.argmax(1) == labels).float().mean())

    def build(self) -> nn.Module:
        """The pretrained network with a new head."""
        network = _architecture(self.images.shape[0], self.width, len(TASKS[self.name][1]))
        network[:-1].load_state_dict(self._pretrained)
        return network

    def _width_ratio(self, density: float) -> float:
        if density not in self._width_ratios:
            seeds = np.random.SeedSequence(0)
            proxy = self._networks.measured({}, density=density, seed=seeds)
            self._width_ratios[density] = proxy.width_ratio
        return self._width_ratios[density]

    @cached_property
    def _width_ratios(self) -> dict[float, float]:
        return {1.0: 1.0}

    @cached_property
    def _networks(self) -> NetworkFactory:
        inputs = self.images.train[0][:32]
        return NetworkFactory(self.build, L1StructuredPruner(), inputs, pretrained=None)

    @cached_property
    def _pretrained(self) -> dict[str, Tensor]:
        """The weights except those of the head; trained once and then read from the file."""
        if not self.weights.exists():
            print(f"{self.name}: pretraining", file=sys.stderr)
            self.weights.parent.mkdir(parents=True, exist_ok=True)
            torch.manual_seed(0)
            classes = TASKS[self.name][0]
            network = _architecture(self.images.shape[0], self.width, len(classes))
            optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=0.01)
            part = of_classes(self.images.train, classes)
            _fit(network, optimizer, part, 64, self.epochs[0])
            torch.save(network[:-1].state_dict(), self.weights)
        weights: dict[str, Tensor] = torch.load(self.weights, weights_only=True)
        return weights


def _architecture(channels: int, width: int, classes: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    before = channels
    for after, pooled in ((width, True), (2 * width, False), (2 * width, True), (4 * width, True)):
        layers += [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after)]
        layers += [nn.ReLU(), *[nn.MaxPool2d(2)] * pooled]
        before = after
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, classes))


def _fit(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    part: tuple[Tensor, Tensor],
    size: int,
    epochs: int,
) -> None:
    """Trains with a cosine schedule and randomly mirrored images."""
    images, labels = part
    steps = epochs * math.ceil(len(labels) / size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    network.train()
    for _ in range(epochs):
        for batch in torch.randperm(len(labels)).split(size):
            mirrored = torch.rand(len(batch), 1, 1, 1) < 0.5
            inputs = torch.where(mirrored, images[batch].flip(-1), images[batch])
            optimizer.zero_grad()
            F.cross_entropy(network(inputs), labels[batch]).backward()
            optimizer.step()
            schedule.step()


def row_of(task: str, width: int, epochs: tuple[int, int], number: int, run: Run) -> Row:
    """The description of a row of the file."""
    row: Row = {
        "task": task,
        "width": width,
        "epochs": list(epochs),
        "config": number,
        "density": run.density,
        "exponent": run.exponent,
        "seed": run.seed,
    }
    return row | {"layerwise": True} if run.layerwise else row


def fill(tasks: list[FineTuning], configs: int, rows: Rows) -> None:
    """Runs the missing trainings, config by config, so that some configs are complete early."""
    for number, task in product(range(configs), tasks):
        for run in RUNS:
            of = task.row_of(number, run)
            if rows.get(of) is None:
                rows.add(of, task.measure(number, run))
        print(f"config {number}, {task.name}: measured", file=sys.stderr)


def complete(
    task: str, width: int, epochs: tuple[int, int], configs: int, rows: Rows
) -> Iterator[dict[Run, Row]]:
    """The results of each config whose trainings are complete."""
    for number in range(configs):
        found = {run: rows.get(row_of(task, width, epochs, number, run)) for run in RUNS}
        if None not in found.values():
            yield {run: row for run, row in found.items() if row is not None}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.finetune",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, help="an .npz of 32x32 images; needed to train")
    parser.add_argument("--configs", type=int, default=40)
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS), default=list(TASKS))
    parser.add_argument("--width", type=int, default=48)
    parser.add_argument("--epochs", type=int, nargs=2, default=(12, 8), help="first, fine-tuning")
    parser.add_argument("--weights", type=Path, default=Path("data/finetune"), help="a folder")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/data/finetune.jsonl"))
    parser.add_argument("--report", action="store_true", help="train nothing, write the page")
    parser.add_argument("--page", type=Path, default=Path("docs/benchmarks/finetune.md"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows, epochs = Rows(arguments.out), (arguments.epochs[0], arguments.epochs[1])
    if not arguments.report:
        if arguments.data is None:
            parser.error("--data is needed to train")
        images = read_cifar10(arguments.data, **SIZES)
        tasks = [
            FineTuning(
                name,
                images,
                arguments.width,
                epochs,
                arguments.weights / f"{list(TASKS).index(name)}-{arguments.width}-{epochs[0]}.pt",
            )
            for name in arguments.tasks
        ]
        fill(tasks, arguments.configs, rows)
        return
    found = {
        name: list(complete(name, arguments.width, epochs, arguments.configs, rows))
        for name in arguments.tasks
    }
    image = arguments.page.with_suffix(".png")
    draw(found, image)
    lines = [*page(found), f"![Spearman against time]({image.name})"]
    command = "python -m benchmarks.finetune --report"
    write_page(arguments.page, command, lines, "Rankings in fine-tuning")
    print(arguments.page.read_text())


if __name__ == "__main__":
    main()
