"""Small trainings that end in every possible way, for the contract of executors."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from proxyhpo._proxy import NetworkFactory
from proxyhpo._runs import Died, Ended, Finished, Job, Outcome, Reported, RunId, Work
from proxyhpo.evaluators import TrainingEvaluator
from proxyhpo.executors import Executor
from proxyhpo.pruners import L1StructuredPruner
from proxyhpo.space import Choice, Space
from proxyhpo.transfers import LayerwiseTransfer

__all__ = ["PATIENCE", "Heard", "drain", "job", "run", "work"]

_numbers = itertools.count()

PATIENCE = 240.0
"""Time limit in seconds; far more than an idle machine needs, since a busy one may be slow."""


def build() -> nn.Module:
    """A small network."""
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))


def train(network: nn.Module, config: dict[str, Any]) -> Iterator[dict[str, float]]:
    """Trains a little, then does what the config's ``then`` says."""
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    for step in range(3):
        loss = network(torch.rand(8, 4)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield {"value": loss.item(), "step": step}
    _THEN[config["then"]](config)
    try:
        while config["then"] == "go on":
            time.sleep(0.02)
            yield {"value": 0.0, "step": 0}
    finally:
        if config["file"]:
            Path(config["file"]).write_text("closed", encoding="utf-8")


class Unpicklable(Exception):  # noqa: N818 - named for what it is
    """An exception that cannot be pickled."""

    def __init__(self) -> None:
        super().__init__("cannot travel")
        self.cargo = (number for number in range(3))


def _raise(_config: dict[str, Any]) -> None:
    raise ValueError("as told")


def _raise_unpicklable(_config: dict[str, Any]) -> None:
    raise Unpicklable


def _exit(_config: dict[str, Any]) -> None:
    raise SystemExit(3)


def _nothing(_config: dict[str, Any]) -> None:
    pass


def _pollute(_config: dict[str, Any]) -> None:
    """Changes what holds for the whole process, and goes."""
    os.chdir("/")
    torch.set_grad_enabled(False)
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    torch.use_deterministic_algorithms(True)
    torch.autograd.set_detect_anomaly(True)
    nn.modules.module.register_module_forward_hook(_fail)
    register_optimizer_step_pre_hook(_fail)


def _fail(*_: Any) -> None:
    raise AssertionError("the hook of another training")


def _look(_config: dict[str, Any]) -> None:
    found = {
        "directory": os.getcwd() == "/",  # noqa: PTH109 - a str is compared
        "gradients": not torch.is_grad_enabled(),
        "dtype": torch.get_default_dtype() != torch.float32,
        "device": torch.get_default_device().type != "cpu",
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "anomalies": torch.is_anomaly_enabled(),
    }
    if any(found.values()):
        raise AssertionError(f"another training has changed {found}")


_THEN = {
    "end": _nothing,
    "go on": _nothing,
    "raise": _raise,
    "raise unpicklable": _raise_unpicklable,
    "exit": _exit,
    "pollute": _pollute,
    "look": _look,
}


def work(train: Any = train) -> Work:
    """What the trainings of a contract test share; those of proxies have scaled updates."""
    space = Space({"then": Choice(sorted(_THEN)), "file": ""})
    networks = NetworkFactory(build, L1StructuredPruner(), torch.zeros(2, 4))
    rule = LayerwiseTransfer().update_rule()
    return Work(networks, TrainingEvaluator(train), space, rule=rule)


def job(then: str = "end", *, file: object = "", **changes: Any) -> Job:
    """A job with a trial number that is unique in this process."""
    config = {"then": then, "file": str(file)}
    run = RunId(next(_numbers), 0)
    one = Job(run, config, config, density=1.0, budget=1.0, seed=5)
    return replace(one, **changes)


class Heard:
    """Records the reports of an executor, and ends some trainings.

    Args:
        until: job and all of its reports so far → whether it must end now; by default never.
    """

    def __init__(self, until: Callable[[Job, list[Reported]], bool] = lambda *_: False) -> None:
        self.until = until
        self.reports: dict[RunId, list[Reported]] = {}

    def __call__(self, job: Job, reported: Reported) -> bool:
        """Records the report."""
        reports = self.reports.setdefault(job.id, [])
        reports.append(reported)
        return self.until(job, reports)


def drain(executor: Executor, *, seconds: float = 2 * PATIENCE) -> list[Ended]:
    """The end of every job, in the order in which they end.

    Raises:
        TimeoutError: if it takes too long.
    """
    ends: list[Ended] = []
    end = time.monotonic() + seconds
    while (ended := executor.wait_any(end - time.monotonic())) is not None:
        ends.append(ended)
    if time.monotonic() > end:
        raise TimeoutError(f"after {seconds} s only these had ended: {ends}")
    return ends


def run(executor: Executor, *jobs: Job) -> list[Outcome | Died]:
    """The outcome of each job, in the given order."""
    for one in jobs:
        executor.submit(one)
    ends = {ended.job.id: ended for ended in drain(executor)}
    return [end.outcome if isinstance(end := ends[one.id], Finished) else end for one in jobs]
