"""The time of a training step of a proxy on a GPU, compared with the full network's."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import nn

from benchmarks.gpu.memory import reserved, reset_peak
from benchmarks.gpu.networks import NETWORKS, TINY_NETWORKS, Entry, Step
from benchmarks.gpu.setup import Row, Setup, left_out
from proxyhpo._proxy import NetworkFactory
from proxyhpo.pruners import L1StructuredPruner

__all__ = ["compiled", "steps"]

DENSITIES = (1.0, 0.5, 0.25, 0.125)
_SECONDS = 2.0  # of steps for each network and density
_TO_COMPILE = 40.0  # seconds; compiling cannot be interrupted


def steps(setup: Setup) -> Iterator[Row]:
    """The time of a step of each network at each density."""
    for entry in _entries(setup):
        networks = _factory(entry)
        full = None
        for density in DENSITIES:
            case = f"{entry.name}, density {density:g}"
            if setup.seconds_left < _SECONDS:
                yield left_out(case)
                continue
            step = Step(entry, _network(networks, density), setup.device)
            seconds = _seconds_of(step, setup)
            full = full or seconds
            yield (
                case,
                f"{1000 * seconds:.2f} ms a step",
                f"{seconds / full:.2f} of the full network's",
                reserved(setup.device),
            )
            del step


def compiled(setup: Setup) -> Iterator[Row]:
    """Whether compiling or graph capture saves time within a trial, for the narrowest network."""
    entry = _entries(setup)[0]
    networks = _factory(entry)
    eager = None
    for name, (change, needed) in _ways(setup).items():
        case = f"{entry.name}, density {DENSITIES[-1]:g}, {name}"
        if setup.seconds_left < needed:
            yield left_out(case)
            continue
        step = Step(entry, _network(networks, DENSITIES[-1]), setup.device)
        began = time.perf_counter()
        change(step)
        step()
        _synchronize(setup.device)
        once = time.perf_counter() - began
        seconds = _seconds_of(step, setup)
        eager = eager or seconds
        saved = eager - seconds
        pays = f"pays after {once / saved:.0f} steps" if saved > 0 else "never pays"
        yield (
            case,
            f"{1000 * seconds:.2f} ms a step after {once:.1f} s",
            "" if change is _keep else f"{seconds / eager:.2f} of eager; {pays}",
            reserved(setup.device),
        )
        del step


def _ways(setup: Setup) -> dict[str, tuple[Callable[[Step], None], float]]:
    """Name → (a function that changes a step, the seconds that must be left for it)."""
    ways: dict[str, tuple[Callable[[Step], None], float]] = {"eager": (_keep, _SECONDS)}
    if setup.device.type == "cuda":
        ways["CUDA graph"] = (Step.capture, _SECONDS)
    if not setup.smoke:  # last, because it may take all the time that is left
        ways["torch.compile"] = (_compile, _TO_COMPILE)
    return ways


def _seconds_of(step: Callable[[], None], setup: Setup) -> float:
    """Median seconds of a step, after a few steps that are not counted."""
    taken: list[float] = []
    least = 2 if setup.smoke else 8
    reset_peak(setup.device)
    end = time.perf_counter() + (0 if setup.smoke else _SECONDS)
    while len(taken) < least or time.perf_counter() < end:
        _synchronize(setup.device)
        began = time.perf_counter()
        step()
        _synchronize(setup.device)
        taken.append(time.perf_counter() - began)
    return statistics.median(taken[least // 2 :])


def _entries(setup: Setup) -> tuple[Entry, ...]:
    return TINY_NETWORKS if setup.smoke else NETWORKS


def _factory(entry: Entry) -> NetworkFactory:
    return NetworkFactory(entry.build, L1StructuredPruner(), entry.inputs()[:2])


def _network(networks: NetworkFactory, density: float) -> nn.Module:
    return networks.network({}, density=density, seed=np.random.SeedSequence(0))


def _keep(step: Step) -> None:
    pass


def _compile(step: Step) -> None:
    step.network.compile()


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
