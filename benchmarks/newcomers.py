"""Measures whether default searches cost less than full ones on small tasks of a new user.

    python -m benchmarks.newcomers [--trials 6 12 25]

Three tasks on data that scikit-learn ships: a perceptron on a table, a small convolutional network
with a DataLoader, and a network in skorch. For 6, 12 and 25 trials, the default search is compared
with a search that trains the same number of trials on the full network, without early stopping.
Both are run. Times are CPU seconds of this process, so other work on the machine does not count.
The command writes docs/benchmarks/newcomers.md.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from sklearn.datasets import load_breast_cancer, load_digits
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.pages import write_page
from proxyhpo import Choice, Float, ProxyHPO, Result

__all__ = ["TASKS", "Task", "row", "search"]

TRIALS = (6, 12, 25)
PAGE = Path("docs/benchmarks/newcomers.md")

HEAD = (
    "| task | seconds | trials | full search | default trains | default search | outside | saved |"
)

Train = Callable[[nn.Module, dict[str, Any]], Iterator[float]]


@dataclass(frozen=True)
class Task:
    """What a user writes, and the data that the training reads."""

    build: Callable[[], nn.Module]
    train: Train
    space: dict[str, Any]
    inputs: Tensor


def perceptron() -> Task:
    """A perceptron of three layers on a table of 30 features."""
    x, y = load_breast_cancer(return_X_y=True)
    x = torch.tensor((x - x.mean(0)) / x.std(0), dtype=torch.float32)
    y = torch.tensor(y)
    parts = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    training, validation = parts[:400], parts[400:]

    def build() -> nn.Module:
        return nn.Sequential(
            nn.Linear(30, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 2)
        )

    def train(network: nn.Module, config: dict[str, Any]) -> Iterator[float]:
        optimizer = torch.optim.AdamW(
            network.parameters(), lr=config["lr"], weight_decay=config["decay"]
        )
        for _ in range(6):
            for batch in training[torch.randperm(len(training))].split(config["batch_size"]):
                optimizer.zero_grad()
                cross_entropy(network(x[batch]), y[batch]).backward()
                optimizer.step()
            with torch.no_grad():
                yield cross_entropy(network(x[validation]), y[validation]).item()

    space = {
        "lr": Float(1e-4, 0.1, log=True),
        "decay": Float(1e-4, 1, log=True),
        "batch_size": Choice([16, 32, 64]),
    }
    return Task(build, train, space, x[:32])


def images() -> tuple[Tensor, Tensor]:
    digits = load_digits()
    return torch.tensor(digits.images, dtype=torch.float32)[:, None] / 16, torch.tensor(
        digits.target
    )


def convolutional() -> Task:
    """A small convolutional network whose batches come from a DataLoader."""
    x, y = images()
    training, validation = TensorDataset(x[:1000], y[:1000]), TensorDataset(x[1000:], y[1000:])

    def build() -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(1, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
            nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(64, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10),
        )  # fmt: skip

    def train(network: nn.Module, config: dict[str, Any]) -> Iterator[float]:
        optimizer = torch.optim.SGD(
            network.parameters(), lr=config["lr"], momentum=config["momentum"]
        )
        for _ in range(2):
            network.train()
            for inputs, labels in DataLoader(training, config["batch_size"], shuffle=True):
                optimizer.zero_grad()
                cross_entropy(network(inputs), labels).backward()
                optimizer.step()
            network.eval()
            with torch.no_grad():
                yield fmean(
                    cross_entropy(network(inputs), labels).item()
                    for inputs, labels in DataLoader(validation, 200)
                )

    space = {
        "lr": Float(1e-3, 1, log=True),
        "momentum": Float(0, 0.95),
        "batch_size": Choice([32, 64, 128]),
    }
    return Task(build, train, space, x[:64])


def skorch() -> Task:
    """A network in skorch, whose values are read from its history."""
    from skorch import NeuralNetClassifier  # noqa: PLC0415 - optional

    x, y = images()
    x = x.flatten(1)

    def build() -> nn.Module:
        return nn.Sequential(
            nn.Linear(64, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10)
        )

    def train(network: nn.Module, config: dict[str, Any]) -> Iterator[float]:
        net = NeuralNetClassifier(
            network, criterion=nn.CrossEntropyLoss, verbose=0, max_epochs=1, **config
        )
        net.initialize()
        for _ in range(3):
            net.partial_fit(x.numpy(), y.numpy())
            yield net.history[-1, "valid_loss"]

    space = {"lr": Float(1e-3, 1, log=True), "batch_size": Choice([32, 64, 128])}
    return Task(build, train, space, x[:64])


TASKS: dict[str, Callable[[], Task]] = {
    "perceptron on a table": perceptron,
    "CNN with a DataLoader": convolutional,
    "skorch": skorch,
}


def by_own_clock(train: Train) -> Callable[[nn.Module, dict[str, Any]], Iterator[dict[str, float]]]:
    """The same training, which also reports the CPU seconds that it has taken."""

    def timed(network: nn.Module, config: dict[str, Any]) -> Iterator[dict[str, float]]:
        began = time.process_time()
        for value in train(network, config):
            yield {"value": value, "seconds": time.process_time() - began}

    return timed


@dataclass(frozen=True)
class Search:
    """What a search found, and the CPU seconds that it took in all."""

    result: Result
    seconds: float

    @property
    def trainings(self) -> float:
        """Seconds of its trainings alone."""
        return sum(record.training_seconds for record in self.result.records)


def search(task: Task, n_trials: int, **options: Any) -> Search:
    """A search as a new user would start it, in one process."""
    began = time.process_time()
    hpo = ProxyHPO(
        task.build,
        by_own_clock(task.train),
        task.space,
        example_inputs=task.inputs,
        direction="minimize",
        progress=False,
        **options,
    )
    return Search(hpo.run(n_trials), time.process_time() - began)


def row(name: str, n_trials: int, default: Search, full: Sequence[float]) -> str:
    """One line of the table.

    Args:
        name: of the task.
        n_trials: of both searches.
        default: the default search.
        full: seconds of each trial of the search on the full network, in order.
    """
    unit = fmean(full)
    trials = sum(full[:n_trials]) / unit
    spent, outside = default.seconds / unit, (default.seconds - default.trainings) / unit
    top = sum(record.rung == 1 for record in default.result.records)
    below = len(default.result.records) - top
    how = f"{top} full" if not below else f"{below} proxies, {top} full"
    return (
        f"| {name} | {unit:.2f} | {n_trials} | {trials:.1f} | {how} | {spent:.1f} | "
        f"{outside:.1f} | {1 - spent / trials:.0%} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, nargs="+", default=TRIALS, help="of the searches")
    trials = parser.parse_args().trials
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    lines = [
        HEAD,
        "|---|---|---|---|---|---|---|---|",
    ]
    why = []
    for name, make in TASKS.items():
        task = make()
        search(task, 1, density=0.5)  # imports and caches what a process loads only once
        whole = search(task, max(trials), proxies=False, repeats=0).result
        full = [r.training_seconds for r in sorted(whole.records, key=lambda r: r.trial)]
        for n_trials in trials:
            found = search(task, n_trials)
            lines.append(row(name, n_trials, found, full))
            print(lines[-1], flush=True)
            if found.result.why_full:
                why.append(f"- {name}, {n_trials} trials: {found.result.why_full}.")
    reasons = ["", "Why some searches trained the full network only:", "", *why] if why else []
    write_page(
        PAGE, "python -m benchmarks.newcomers", [*lines, *reasons], "Small tasks of a new user"
    )


if __name__ == "__main__":
    main()
