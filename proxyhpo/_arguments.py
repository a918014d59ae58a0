"""Checks of the facade's arguments. Errors name the argument and are raised before any training."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch

from proxyhpo import _plugins as plugins
from proxyhpo._engine.parts import Parts
from proxyhpo._engine.stopping import Stoppers
from proxyhpo._validation import check_device
from proxyhpo.callbacks._interface import AnyCallback, Callback
from proxyhpo.errors import ArgumentError
from proxyhpo.evaluators import Direction, ProxyEvaluator, TrainingEvaluator
from proxyhpo.executors import Executor
from proxyhpo.executors._in_process import InProcessExecutor
from proxyhpo.executors._interface import is_executor
from proxyhpo.stoppers import Stopper

__all__ = [
    "ELSEWHERE",
    "callbacks_of",
    "check_version",
    "device_of",
    "direction_of",
    "evaluator_of",
    "executor_of",
    "stoppers_of",
]

ELSEWHERE = {
    **dict.fromkeys(("n_trials", "timeout", "base_trainings", "worth"), "it belongs to run()."),
    **dict.fromkeys(
        ("workers", "n_jobs"), "use executor=proxyhpo.executors.ProcessExecutor(workers=...)."
    ),
    "sampler": "use searcher=, such as searcher=OptunaSearcher(optuna.samplers.TPESampler).",
    "storage": 'use store=, such as store="study.db".',
    "study_name": "use store=, with one file for each study.",
    "load_if_exists": "use store=, whose study is resumed if it exists.",
    "directions": 'use direction=, which is "minimize" or "maximize": a search has one objective.',
}
"""Argument that a search does not have, such as one of Optuna → what to use instead."""


def evaluator_of(train: Callable[..., Any] | ProxyEvaluator) -> ProxyEvaluator:
    """The given evaluator, or one that calls the given function."""
    if isinstance(train, ProxyEvaluator):
        return train
    if not callable(train) or isinstance(train, type):
        raise ArgumentError(
            "train must be a function train(network, config) or a ProxyEvaluator instance, got "
            f"{train!r}"
        )
    return TrainingEvaluator(train)


def stoppers_of(
    below: str | Stopper | None,
    top: str | Stopper | None,
    parts: Parts,
    executor: Executor,
) -> Stoppers:
    """The stoppers, resolved by name; "auto" is the median rule below the full network.

    With controls, "auto" means none: stopped trials cannot be drawn as controls, and a comparison
    without the worse half of the trials would be biased by selection again.

    Raises:
        ArgumentError: for stoppers that would never receive a report, or have nothing to stop.
    """
    automatic = isinstance(below, str) and below == "auto"
    if automatic:
        below = None if len(parts.ladder) == 1 or parts.controls else "median"
    stoppers = Stoppers(
        _stopper_of("stopper", below), _stopper_of("finalist_stopper", top), automatic
    )
    if stoppers.given and not executor.streams:
        raise ArgumentError(
            f"{' and '.join(stoppers.given)} cannot be used with {type(executor).__name__}, which "
            "does not stream reports. InProcessExecutor, ProcessExecutor and RayExecutor stream "
            "each report"
        )
    if stoppers.below is not None and len(parts.ladder) == 1:
        raise ArgumentError(
            "stopper= ends trainings below the full network, but the ladder has no such rung: use "
            "finalist_stopper="
        )
    return stoppers


def _stopper_of(argument: str, given: str | Stopper | None) -> Stopper | None:
    if given is None:
        return None
    return plugins.resolve("proxyhpo.stoppers", given, Stopper, argument=argument)  # type: ignore[type-abstract]  # an interface


def direction_of(given: Direction | None, evaluator: ProxyEvaluator) -> Direction:
    """The given direction, or the evaluator's; never guessed."""
    known = evaluator.direction
    if given is None and known is not None:
        return known
    if given not in ("minimize", "maximize"):
        raise ArgumentError(f'direction must be "minimize" or "maximize", got {given!r}')
    if known is not None and given != known:
        raise ArgumentError(f"direction is {given!r}, but the evaluator requires {known!r}")
    return given


def device_of(given: str | torch.device | None, evaluator: ProxyEvaluator) -> torch.device:
    """The given device, or the evaluator's, or the CPU."""
    if given is None and evaluator.device is not None:
        return check_device(f"device of {type(evaluator).__name__}", evaluator.device)
    return check_device("device", "cpu" if given is None else given)


def executor_of(given: Executor | None) -> Executor:
    """The given executor, or the default: this process."""
    if given is None:
        return InProcessExecutor()
    if is_executor(given):
        return given
    hint = ""
    if callable(getattr(given, "submit", None)):
        hint = "; a concurrent.futures executor is wrapped: FuturesExecutor(pool, workers=2)"
    raise ArgumentError(
        f"executor must be an Executor such as ProcessExecutor(), got {given!r}{hint}"
    )


def callbacks_of(given: Iterable[AnyCallback]) -> tuple[AnyCallback, ...]:
    """Functions of a record, and callbacks."""
    allowed = "functions of a Record, or instances of proxyhpo.callbacks.Callback"
    if callable(given) or not isinstance(given, Iterable):
        raise ArgumentError(f"callbacks must be a list of {allowed}, got {given!r}")
    callbacks = tuple(given)
    for callback in callbacks:
        is_class = isinstance(callback, type) and issubclass(callback, Callback)
        if is_class or not (callable(callback) or isinstance(callback, Callback)):
            raise ArgumentError(f"callbacks must be {allowed}, got {callback!r}")
    return callbacks


def check_version(version: str | int | None) -> str | int | None:
    """A label that can be stored."""
    if version is None or isinstance(version, (str, int)):
        return version
    raise ArgumentError(f"version must be a string or a whole number, got {version!r}")
