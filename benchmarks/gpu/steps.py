"""The time of a training step of a proxy on a GPU, compared with the full network's."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import nn

from benchmarks.gpu.networks import NETWORKS, TINY_NETWORKS, Entry, Step
from benchmarks.gpu.setup import Row, Setup
from proxyhpo._proxy import NetworkFactory
from proxyhpo.pruners import L1StructuredPruner

__all__ = ["compiled", "memory_text", "seconds_of", "steps"]

DENSITIES = (1.0, 0.5, 0.25, 0.125)
_SECONDS = 2.0  # of steps for each network and density
_GIB = 2**30


def steps(setup: Setup) -> Iterator[Row]:
    """The time of a step of each network at each density."""
    for entry in _entries(setup):
        networks = _factory(entry)
        full = None
        for density in DENSITIES:
            step = Step(entry, _network(networks, density), setup.device)
            seconds = seconds_of(step, setup)
            full = full or seconds
            yield (
                f"{entry.name}, density {density:g}",
                f"{1000 * seconds:.2f} ms a step",
                f"{seconds / full:.2f} of the full network's",
                memory_text(setup.device),
            )
            del step


def compiled(setup: Setup) -> Iterator[Row]:
    """Whether compiling or graph capture pays off within a trial, for the narrowest network."""
    entry = _entries(setup)[0]
    networks = _factory(entry)
    eager = seconds_of(Step(entry, _network(networks, DENSITIES[-1]), setup.device), setup)
    for name, change in (("torch.compile", _compile), ("CUDA graph", _capture)):
        if setup.smoke or (name == "CUDA graph" and setup.device.type != "cuda"):
            continue
        step = Step(entry, _network(networks, DENSITIES[-1]), setup.device)
        began = time.perf_counter()
        change(step)
        step()
        _synchronize(setup.device)
        once = time.perf_counter() - began
        seconds = seconds_of(step, setup)
        saved = eager - seconds
        pays = f"pays after {once / saved:.0f} steps" if saved > 0 else "never pays"
        yield (
            f"{entry.name}, density {DENSITIES[-1]:g}, {name}",
            f"{1000 * seconds:.2f} ms a step after {once:.1f} s",
            f"{seconds / eager:.2f} of eager; {pays}",
            memory_text(setup.device),
        )


def seconds_of(step: Callable[[], None], setup: Setup) -> float:
    """Median seconds of a step, after a few that are not counted."""
    taken: list[float] = []
    least = 2 if setup.smoke else 8
    end = time.perf_counter() + (0 if setup.smoke else _SECONDS)
    if setup.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(setup.device)
    while len(taken) < least or time.perf_counter() < end:
        _synchronize(setup.device)
        began = time.perf_counter()
        step()
        _synchronize(setup.device)
        taken.append(time.perf_counter() - began)
    return statistics.median(taken[least // 2 :])


def memory_text(device: torch.device) -> str:
    """The peak memory of this process's tensors on a GPU since the last reset."""
    if device.type != "cuda":
        return ""
    return f"{torch.cuda.max_memory_allocated(device) / _GIB:.2f} GiB"


def _entries(setup: Setup) -> tuple[Entry, ...]:
    return TINY_NETWORKS if setup.smoke else NETWORKS


def _factory(entry: Entry) -> NetworkFactory:
    return NetworkFactory(entry.build, L1StructuredPruner(), entry.inputs()[:2])


def _network(networks: NetworkFactory, density: float) -> nn.Module:
    return networks.network({}, density=density, seed=np.random.SeedSequence(0))


def _compile(step: Step) -> None:
    step.network.compile()


def _capture(step: Step) -> None:
    graphed = torch.cuda.make_graphed_callables(step.network, (step.inputs,))
    assert isinstance(graphed, nn.Module)  # what it returns for a module
    step.network = graphed


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
