"""The faults that :mod:`benchmarks.faults` injects into trainings and into callbacks."""

from __future__ import annotations

import ctypes
import os
import random
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from proxyhpo import ProxyHPO, Record
from proxyhpo.errors import ArgumentError


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def segfault() -> None:
    ctypes.string_at(0)


def exit_at_once() -> None:
    os._exit(7)


def hang() -> None:
    time.sleep(10_000)


def run_out_of_memory() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (used * resource.getpagesize() + 2**28, hard))
    try:
        torch.ones(2**30)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def run_out_of_cuda_memory() -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


def fork_and_leave() -> None:
    if os.fork() == 0:
        # It outlives its worker only if the study is killed at the same moment as the worker.
        time.sleep(10)
        os._exit(0)


def fork_and_come_out() -> None:
    if os.fork() == 0:
        sys.exit(0)


def close_standard_output() -> None:
    sys.stdout.close()
    os.close(1)


def print_to_a_broken_pipe() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as sys.stdout:
        print("nobody reads this", flush=True)


def pollute() -> None:
    """Changes settings of the whole process."""
    os.chdir("/")
    torch.set_grad_enabled(False)
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    torch.autograd.set_detect_anomaly(True)
    nn.modules.module.register_module_forward_hook(_fail)


def _fail(*_: object) -> None:
    raise AssertionError("the hook of another training")


def is_polluted() -> bool:
    """Whether the process has settings that :func:`pollute` has changed."""
    return (
        not torch.is_grad_enabled()
        or torch.get_default_dtype() != torch.float32
        or torch.get_default_device().type != "cpu"
        or torch.is_anomaly_enabled()
        or Path.cwd() == Path("/")
    )


class UnpicklableError(Exception):
    """An exception that cannot be sent to another process."""

    def __init__(self) -> None:
        super().__init__("cannot travel")
        self.cargo = (number for number in range(3))


def raise_unpicklable() -> None:
    raise UnpicklableError


def yield_nan() -> float:
    return float("nan")


def yield_inf() -> float:
    return float("inf")


def yield_nonsense() -> str:
    return "nonsense"


def yield_a_reserved_name() -> dict[str, float]:
    return {"value": 0.0, "$float": 1.0}


LETHAL: list[Callable[[], Any]] = [kill, segfault, exit_at_once]
"""Faults that end the process of a training."""

FAULTS: list[Callable[[], Any]] = [
    run_out_of_memory, run_out_of_cuda_memory, fork_and_leave, fork_and_come_out, pollute,
    raise_unpicklable, yield_nan, yield_inf, yield_nonsense, yield_a_reserved_name,
]  # fmt: skip
"""Other faults, in the study's own process or in a worker."""

WORKER_FAULTS = [*FAULTS, hang, close_standard_output, print_to_a_broken_pipe]
"""Faults in a worker. The last three would block the study's own process, or close its output."""


def call_the_running_study(hpo: ProxyHPO, record: Record, chance: random.Random) -> None:
    """Calls the study from a callback or another thread, and changes the record.

    It reads the result, enqueues a config, and tries to run the study a second time.
    """
    assert hpo.result.history.trials
    record.config.clear()
    hpo.enqueue({"x": chance.random()})
    for call in (lambda: hpo.run(9), hpo.climb, hpo.ask, hpo.close):
        try:
            call()
        except ArgumentError:
            continue
        raise AssertionError("a running study was entered a second time")
