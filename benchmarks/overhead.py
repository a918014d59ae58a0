"""Measures the overhead of a study: seconds per trial, memory, import time.

    python benchmarks/overhead.py

Trainings return at once, so all measured time is spent by proxyhpo: it proposes configs, builds and
prunes networks, and writes records. The overhead of scaled updates in a training step is measured,
too. The command prints a markdown table with the target of each figure.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from numpy.random import SeedSequence
from torch import nn
from torch.nn import functional
from torchvision.models import resnet18

from proxyhpo import Choice, Float, ProxyHPO
from proxyhpo._proxy import NetworkFactory
from proxyhpo.pruners import RandomPruner
from proxyhpo.searchers import BayesianSearcher, GridSearcher
from proxyhpo.transfers import LayerwiseTransfer, scaled_updates

SPACE = {
    "lr": Float(1e-4, 1, log=True),
    "momentum": Float(0, 0.99),
    "weight_decay": Float(1e-6, 1e-2, log=True),
    "batch_size": Choice([16, 32, 64, 128]),
}


def build() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))


def at_once(network: nn.Module, config: dict[str, Any]) -> float:
    return float(-config["lr"] - config["momentum"])


def study(searcher: Any, **options: Any) -> ProxyHPO:
    options = {"build": build, "example_inputs": torch.zeros(16, 64), **options}
    return ProxyHPO(
        options.pop("build"), at_once, SPACE,
        direction="maximize", searcher=searcher, progress=False, **options,
    )  # fmt: skip


def seconds(hpo: ProxyHPO, n_trials: int) -> float:
    began = time.perf_counter()
    hpo.run(n_trials)
    return time.perf_counter() - began


def searchers() -> None:
    for name, searcher, asked in (
        ("grid", GridSearcher(points=5), 50),
        ("random", "random", 50),
        ("tpe", "tpe", 50),
        ("bayesian", BayesianSearcher(), 1000),
    ):
        hpo = study(searcher)
        hpo.run(1)  # imports, tracing and measuring happen once, not for every trial
        spent = seconds(hpo, 101)
        print(f"| {name}, one of 100 trials | {1000 * spent / 100:.1f} ms | <= {asked} ms |")


def many(n_trials: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "study.db"
        hpo = study("random", store=path)
        hpo.run(100)  # libraries that are loaded once, such as SQLite, must not count as growth
        before = resident()
        first = seconds(hpo, n_trials // 2)
        second = seconds(hpo, n_trials)
        grown = resident() - before
        size = path.stat().st_size / 2**20
        again = study("random", store=path)
        began = time.perf_counter()
        records = len(again.result.records)
        opening = time.perf_counter() - began
    assert records >= n_trials, f"{records} records of {n_trials} trials"
    rate = 1000 * (first + second) / (n_trials - 100)
    print(f"| random with a store, {n_trials} trials | {first + second:.1f} s | <= 60 s per 1000 |")
    print(f"| the same, one trial | {rate:.1f} ms | <= 50 ms |")
    print(f"| the same, the second half relative to the first | {second / first:.2f}x | about 1x |")
    print(f"| the same, growth of memory | {grown:+.0f} MB (file {size:.1f} MB) | <= 100 MB |")
    print(f"| opening the store again, {records} records | {opening:.2f} s | < 2 s |")


def memory() -> None:
    def large() -> nn.Module:
        return nn.Sequential(
            nn.Linear(64, 3000), nn.ReLU(), nn.Linear(3000, 3000), nn.Linear(3000, 10)
        )

    hpo = study("random", build=large, density=0.5, finalists=1)
    hpo.run(20)
    before = resident()
    hpo.run(220)
    grown = resident() - before
    parameters = sum(p.numel() for p in large().parameters()) / 1e6
    print(
        f"| growth of memory over 200 trials, {parameters:.1f} M parameters "
        f"| {before:.0f} MB, {grown:+.0f} MB | none |"
    )


def scaling(steps: int) -> None:
    """The overhead of scaled updates in a training step of a proxy of ResNet-18, in CPU time.

    Steps with and without them alternate, so that both see the same load of the machine.
    """
    networks = NetworkFactory(
        resnet18, RandomPruner(), torch.zeros(64, 3, 32, 32), pretrained=False
    )
    batch, labels = torch.randn(64, 3, 32, 32), torch.randint(0, 1000, (64,))
    rule = LayerwiseTransfer().update_rule()
    for kind in (torch.optim.SGD, torch.optim.AdamW):
        made = networks.make({}, density=0.25, seed=SeedSequence(0))
        network = made.network
        optimizer = kind(network.parameters(), lr=1e-4)
        spent: dict[bool, list[float]] = {True: [], False: []}
        for step in range(2 * steps + 4):
            is_scaled = step % 2 == 0
            with scaled_updates(network, made.fans if is_scaled else {}, rule):
                began = time.process_time()
                optimizer.zero_grad()
                functional.cross_entropy(network(batch), labels).backward()
                optimizer.step()
                spent[is_scaled].append(time.process_time() - began)
        with_it, without = (statistics.median(spent[each][2:]) for each in (True, False))
        print(
            f"| scaled updates, a step of ResNet-18 at 1/4 under {kind.__name__}, batch 64 "
            f"| {with_it / without - 1:+.1%} of {1000 * without:.0f} ms | <= 5 % |"
        )


def resident() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def importing(repetitions: int) -> None:
    def fastest(code: str) -> float:
        times = []
        for _ in range(repetitions):
            began = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True)
            times.append(time.perf_counter() - began)
        return min(times)

    extra = fastest("import proxyhpo") - fastest("import torch")
    print(f"| import proxyhpo, in addition to import torch | {extra:.2f} s | <= 0.2 s |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=10_000, help="of the long study")
    parser.add_argument("--steps", type=int, default=40, help="with and without scaled updates")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print("| what | measured | target |\n|---|---|---|")
    scaling(arguments.steps)
    searchers()
    many(arguments.trials)
    memory()
    importing(5)


if __name__ == "__main__":
    main()
