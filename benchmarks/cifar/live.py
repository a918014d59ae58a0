"""Runs a search that trains its networks, and reports what it costs and finds."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.cifar.networks import TASKS
from benchmarks.cifar.steps import batches
from benchmarks.cifar.training import Examples, train
from benchmarks.images import accuracy
from proxyhpo import Config, ProxyHPO, Result

__all__ = ["live", "live_lines"]


FRESH = 3
"""Number of trainings that test the config that was found."""


def live(net: str, examples: Examples, n_trials: int, folder: Path) -> dict[str, Any]:
    """Searches with the defaults and a fixed batch size, the largest one of the space.

    With the largest batch, the steps of a proxy are faster by the largest factor. The study is
    stored in ``folder``, and resumed if it was interrupted.

    Args:
        net: name of the network.
        examples: to train on.
        n_trials: number of trials.
        folder: where the study is stored.
    """
    task = TASKS[net]
    batch_size = max(batches(net))

    def training(network: nn.Module, config: Config, seed: int) -> Iterator[float]:
        return train(network, task, config, examples, seed=seed)

    result = ProxyHPO(
        task.build,
        training,
        {**task.space, "batch_size": batch_size},
        example_inputs=examples.train[0][:batch_size],
        direction="maximize",
        progress=False,
        callbacks=[lambda record: print(net, record.rung, record.value, flush=True)],
        store=folder / f"cifar_live_{net}_{n_trials}.db",
    ).run(n_trials)
    return {"net": net, "n_trials": n_trials, **_findings(result), **_worth(result, examples, net)}


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


def _worth(result: Result, examples: Examples, net: str) -> dict[str, Any]:
    """Test accuracies of the full network with the config that was found, under new seeds."""
    tests = []
    for number in range(FRESH):
        seed = int(np.random.SeedSequence([7, number]).generate_state(1)[0])
        torch.manual_seed(seed)
        network = TASKS[net].build()
        for _ in train(network, TASKS[net], result.best_config, examples, seed=seed):
            pass
        tests.append(accuracy(network, examples.test))
    return {"test": tests}


def live_lines(path: Path) -> Iterator[str]:
    """Lines of a table of the live searches in a file."""
    lines = path.read_text().splitlines() if path.exists() else []
    if not lines:
        return
    titles = ["network", "trials", "stopped early", "ladder", "times faster a step", "cost"]
    titles += ["outside training", "test accuracy", "verdicts"]
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
            "; ".join(row["verdicts"]),
        ]
        yield "| " + " | ".join(map(str, cells)) + " |"
