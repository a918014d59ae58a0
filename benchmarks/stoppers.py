"""Measures what stoppers save, and what they lose, in searches on recorded learning curves.

    python -m benchmarks.stoppers [--repetitions 20]

The command trains 100 random configs of a perceptron on scikit-learn's digits, as a proxy of a
quarter of its width and at full width, with a cosine schedule. It records the validation loss after
every epoch. The proxy's learning rate is corrected for its width. Then it runs searches through the
engine with each stopper, on random samples of 50 configs in random orders. It prints a Markdown
table.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from proxyhpo import Choice, Float, ProxyHPO, Result, Rung, Space
from proxyhpo._records.records import Config, config_key
from proxyhpo.stoppers import ASHAStopper, MedianStopper

EPOCHS = 27
N_CONFIGS, N_TRIALS = 100, 50
DENSITY = 0.25
SPACE = Space(
    {
        "lr": Float(1e-3, 1, log=True),
        "momentum": Float(0, 0.95),
        "weight_decay": Float(1e-5, 1e-1, log=True),
        "batch_size": Choice([16, 32, 64, 128]),
    }
)
ARMS: dict[str, dict[str, Any]] = {
    "none": {},
    "`median`": {"stopper": "median"},
    "`MedianStopper(min_steps=9)`": {"stopper": MedianStopper(min_steps=9)},
    "`asha`": {"stopper": "asha"},
    "`ASHAStopper(min_steps=3)`": {"stopper": ASHAStopper(min_steps=3)},
    "`lagging` for finalists": {"finalist_stopper": "lagging"},
    "`median`, `lagging` for finalists": {"stopper": "median", "finalist_stopper": "lagging"},
}


@dataclass(frozen=True)
class Curves:
    """The validation losses of a training after each epoch, and its test loss at the end."""

    validation: Sequence[float]
    test: float


Table = Mapping[tuple[str, bool], Curves]
"""(config, whether the network was the full one) → the curves of the training."""


def build(width: float = 1.0) -> nn.Module:
    hidden = round(256 * width)
    return nn.Sequential(
        nn.Linear(64, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(),
        nn.Linear(hidden, 10),
    )  # fmt: skip


def fill(configs: Sequence[Config]) -> Table:
    """Trains all configs. A loss that is not finite is replaced by a large one."""
    digits = load_digits()
    order = torch.randperm(len(digits.data), generator=torch.Generator().manual_seed(0))
    inputs = torch.tensor(digits.data, dtype=torch.float32)[order] / 16
    labels = torch.tensor(digits.target)[order]
    parts = [(inputs[i:j], labels[i:j]) for i, j in ((0, 500), (500, 1100), (1100, None))]
    return {
        (config_key(config), full): _train(config, parts, full=full, seed=seed)
        for seed, config in enumerate(configs)
        for full in (True, False)
    }


def _train(
    config: Config,
    parts: Sequence[tuple[Tensor, Tensor]],
    *,
    full: bool,
    seed: int,
) -> Curves:
    torch.manual_seed(2 * seed + full)
    network = build(1 if full else DENSITY)
    (inputs, labels), validation, test = parts
    optimizer = torch.optim.SGD(
        network.parameters(),
        lr=config["lr"] * (1 if full else DENSITY**-0.5),
        momentum=config["momentum"],
        weight_decay=config["weight_decay"],
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS)
    losses = []
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(inputs)).split(config["batch_size"]):
            optimizer.zero_grad()
            cross_entropy(network(inputs[batch]), labels[batch]).backward()
            optimizer.step()
        schedule.step()
        losses.append(_loss(network, *validation))
    return Curves(losses, _loss(network, *test))


def _loss(network: nn.Module, inputs: Tensor, labels: Tensor) -> float:
    with torch.no_grad():
        loss = cross_entropy(network(inputs), labels).item()
    return loss if math.isfinite(loss) else 100.0


def search(table: Table, configs: Sequence[Config], **stoppers: Any) -> Result:
    """One search through the engine, on these configs in this order."""

    def train(network: nn.Sequential, config: Config) -> Iterator[dict[str, float]]:
        first = network[0]
        assert isinstance(first, nn.Linear)
        for epoch, loss in enumerate(
            table[config_key(config), first.out_features == 256].validation
        ):
            yield {"value": loss, "seconds": 1.0 + epoch}

    hpo = ProxyHPO(
        build, train, SPACE, example_inputs=torch.zeros(2, 64), direction="minimize",
        pruner="by-width", searcher="random", transfer="identity",
        ladder=[Rung(DENSITY, keep=3), Rung(1)], progress=False, **stoppers,
    )  # fmt: skip
    for config in configs:
        hpo.enqueue(config)
    # Step times mean nothing, because nothing is trained.
    with patch("proxyhpo._proxy.factory.step_seconds", return_value=1.0):
        return hpo.run(len(configs))


def measured(table: Table, configs: Sequence[Config], repetitions: int) -> dict[str, Any]:
    """Arm → (share of proxy epochs, share of finalists' epochs, regret), one row per repetition."""
    rows: dict[str, list[list[float]]] = {arm: [] for arm in ARMS}
    for repetition in range(repetitions):
        drawn = np.random.default_rng(repetition).permutation(len(configs))[:N_TRIALS]
        chosen = [configs[i] for i in drawn]
        for arm, stoppers in ARMS.items():
            result = search(table, chosen, **stoppers)
            epochs = [0, 0]
            for record in result.records:
                epochs[record.rung] += len(record.reports)
            test = table[config_key(result.best_config), True].test
            rows[arm].append([epochs[0] / (N_TRIALS * EPOCHS), epochs[1] / (3 * EPOCHS), test])
    found = {arm: np.array(values) for arm, values in rows.items()}
    plain = found["none"][:, 2].copy()
    for values in found.values():
        values[:, 2] -= plain
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--repetitions", type=int, default=20)
    repetitions = parser.parse_args().repetitions
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    configs = [SPACE.sample(rng) for _ in range(N_CONFIGS)]
    table = fill(configs)
    tests = sorted(table[config_key(config), True].test for config in configs)
    print(f"test losses of all configs: best {tests[0]:.3f}, median {tests[50]:.3f}\n")
    print("| stoppers | proxies' epochs | finalists' epochs | test loss minus that without |")
    print("|---|---|---|---|")
    for arm, values in measured(table, configs, repetitions).items():
        below, top, behind = values.mean(0)
        resampled = np.random.default_rng(0).integers(repetitions, size=(2000, repetitions))
        low, high = np.quantile(values[resampled, 2].mean(1), [0.025, 0.975])
        print(f"| {arm} | {below:.2f} | {top:.2f} | {behind:+.4f} [{low:+.4f}, {high:+.4f}] |")


if __name__ == "__main__":
    main()
