"""A search on CIFAR-10 that really trains: what it costs, and what it finds."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.cifar_networks import TASKS
from benchmarks.cifar_searches import quality
from benchmarks.cifar_table import Run, Table
from benchmarks.cifar_training import train
from benchmarks.images import Images, accuracy
from proxyhpo import Config, ProxyHPO, Result

__all__ = ["live", "live_lines"]

BATCH_SIZE = 128
"""Where a step of the smallest proxy is fastest beside one of the full network."""

FRESH = 3
"""Trainings that decide what the config that was found is worth."""


def live(net: str, images: Images, n_trials: int, folder: Path) -> dict[str, Any]:
    """Searches with all defaults but the batch size, which is fixed.

    Goes on where it was, if it was ended: the study is kept in ``folder``.

    Args:
        net: name of the network.
        images: to train on.
        n_trials: of the search.
        folder: for the study.
    """
    task = TASKS[net]

    def training(network: nn.Module, config: Config, seed: int) -> Iterator[float]:
        return train(network, task, config, images, seed=seed)

    result = ProxyHPO(
        task.build,
        training,
        {**task.space, "batch_size": BATCH_SIZE},
        example_inputs=images.train[0][:BATCH_SIZE],
        direction="maximize",
        progress=False,
        callbacks=[lambda record: print(net, record.rung, record.value, flush=True)],
        store=folder / f"cifar_live_{net}_{n_trials}.db",
    ).run(n_trials)
    return {"net": net, "n_trials": n_trials, **_findings(result), **_worth(result, images, net)}


def _findings(result: Result) -> dict[str, Any]:
    cost = result.cost
    top = result.measured[len(result.ladder) - 1]
    return {
        "ladder": [[measured.density, rung.keep] for measured, rung in _rungs(result)],
        "step_ratios": [top.step_seconds / measured.step_seconds for measured, _ in _rungs(result)],
        "stopped": sum(record.state == "stopped" for record in result.records),
        "seconds": cost.seconds,
        "outside": cost.overhead_seconds + sum(r.overhead_seconds for r in result.records),
        "base_training_seconds": cost.base_training_seconds,
        "full_search_seconds": cost.full_search_seconds,
        "verdicts": [fidelity.verdict for fidelity in result.fidelity],
        "config": result.best_config,
        "validation": result.best_value,
    }


def _rungs(result: Result) -> Iterable[tuple[Any, Any]]:
    return [(result.measured[number], rung) for number, rung in enumerate(result.ladder)]


def _worth(result: Result, images: Images, net: str) -> dict[str, Any]:
    """Test accuracies of the full network with the config that was found, under new seeds."""
    tests = []
    for number in range(FRESH):
        seed = int(np.random.SeedSequence([7, number]).generate_state(1)[0])
        torch.manual_seed(seed)
        network = TASKS[net].build()
        for _ in train(network, TASKS[net], result.best_config, images, seed=seed):
            pass
        tests.append(accuracy(network, images.test))
    return {"test": tests}


def live_lines(path: Path, tables: Mapping[str, Table]) -> Iterator[str]:
    """What live searches came to, beside full searches among the configs of the tables."""
    lines = path.read_text().splitlines() if path.exists() else []
    if not lines:
        return
    titles = ["network", "trials", "stopped early", "ladder", "times faster a step", "cost"]
    titles += ["outside training", "test accuracy", "of a full search", "verdicts"]
    yield f"| {' | '.join(titles)} |"
    yield "|---" * len(titles) + "|"
    for line in lines:
        row = json.loads(line)
        ladder = ", ".join(f"{d:g}" + (f" ({keep})" if keep else "") for d, keep in row["ladder"])
        steps = ", ".join(f"{ratio:.1f}" for ratio in row["step_ratios"])
        cells = [
            row["net"],
            row["n_trials"],
            row["stopped"],
            ladder,
            steps,
            f"{row['seconds'] / row['full_search_seconds']:.3f}",
            f"{row['outside'] / row['seconds']:.1%}",
            f"{100 * np.mean(row['test']):.2f} +- {100 * np.std(row['test'], ddof=1):.2f}",
            _full_search(tables[row["net"]]),
            "; ".join(row["verdicts"]),
        ]
        yield "| " + " | ".join(map(str, cells)) + " |"


def _full_search(table: Table) -> str:
    """Test accuracy of what a full search finds among a table's configs of the same batch size."""
    same = [n for n, runs in table.items() if runs[Run(n)].config["batch_size"] == BATCH_SIZE]
    first = sorted(same, key=lambda number: -table[number][Run(number)].value)[:3]
    again = [number for number in first if Run(number, seed=1) in table[number]]
    if not again:
        return "unknown"
    best = max(again, key=lambda number: table[number][Run(number, seed=1)].value)
    return f"{100 * quality(table[best], (0, 1)):.2f} (of {len(same)} random configs)"
