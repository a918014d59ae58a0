"""Measures the overhead of executors, and the gain of two workers.

    python benchmarks/executors.py

Prints, for trainings in this process and in workers: seconds from the start of a study to its first
training, milliseconds per job, and the duration of a study with CPU-bound trainings. It needs two
idle cores.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

from proxyhpo import Float, ProxyHPO, Rung
from proxyhpo._runs import unheard
from proxyhpo.executors import Executor, Finished, InProcessExecutor, ProcessExecutor
from proxyhpo.testing._trainings import job, work

torch.set_num_threads(1)


def build() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))


def at_once(_network: nn.Module, _config: dict[str, Any]) -> float:
    return 0.0


def multiplications(seconds: float) -> int:
    """How many matrix multiplications this machine computes in this time."""
    began, done = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        multiply(20)
        done += 20
    return done


def multiply(times: int) -> None:
    matrix = torch.full((128, 128), 1e-3)
    for _ in range(times):
        matrix = (matrix @ matrix).clamp_(1e-4, 1e-3)


def seconds_to_start(executor: Executor) -> float:
    began = time.perf_counter()
    executor.start(work(at_once), unheard)
    executor.submit(job())
    executor.wait_any()
    elapsed = time.perf_counter() - began
    executor.shutdown()
    return elapsed


def milliseconds_a_job(executor: Executor, jobs: int = 500) -> float:
    executor.start(work(at_once), unheard)
    executor.submit(job())
    while executor.wait_any() is not None:
        pass  # waits until a worker has started
    began, submitted, finished = time.perf_counter(), 0, 0
    while finished < jobs:
        while submitted < jobs and submitted - finished < executor.capacity + executor.ahead:
            executor.submit(job())
            submitted += 1
        assert isinstance(executor.wait_any(), Finished)
        finished += 1
    elapsed = time.perf_counter() - began
    executor.shutdown()
    return elapsed / jobs * 1000


def study_seconds(
    executor: Executor, *, trials: int, times: int, searcher: str
) -> tuple[float, float]:
    """The duration of a study, and the CPU time of this process."""

    def train(_network: nn.Module, config: dict[str, Any]) -> Iterator[float]:
        for epoch in range(4):
            multiply(times // 4)
            yield config["x"] - epoch

    hpo = ProxyHPO(
        build,
        train,
        {"x": Float(0, 1), "y": Float(0, 1)},
        example_inputs=torch.zeros(8, 64),
        direction="maximize",
        ladder=[Rung(1)],
        searcher=searcher,
        progress=False,
        executor=executor,
    )
    began, computed = time.perf_counter(), time.process_time()
    hpo.run(trials)
    return time.perf_counter() - began, time.process_time() - computed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--seconds", type=float, default=2.0, help="of one training")
    parser.add_argument("--searcher", default="tpe")
    given = parser.parse_args()
    executors: dict[str, Callable[[], Executor]] = {
        "in this process": InProcessExecutor,
        "2 workers, ahead=0": lambda: ProcessExecutor(2, ahead=0),
        "2 workers": lambda: ProcessExecutor(2),
    }
    times = multiplications(given.seconds)
    print(
        f"{given.trials} trials of {given.seconds:g} s, {given.searcher}; load {os.getloadavg()}\n"
    )
    print("| executor | start, s | overhead of a job, ms | study, s | speed-up | CPU time here |")
    print("|---|---|---|---|---|---|")
    base = None
    for name, make in executors.items():
        total, computed = study_seconds(
            make(), trials=given.trials, times=times, searcher=given.searcher
        )
        base = base or total
        print(
            f"| {name} | {seconds_to_start(make()):.1f} | {milliseconds_a_job(make()):.1f} | "
            f"{total:.1f} | {base / total:.2f}x | {computed / total:.0%} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
