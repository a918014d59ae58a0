"""The evaluator that calls the user's own training function."""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from numbers import Real
from typing import TYPE_CHECKING, Any, final

import numpy as np
from torch import Tensor
from typing_extensions import override

from proxyhpo._records.records import Report
from proxyhpo.errors import ArgumentError
from proxyhpo.evaluators._interface import ProxyEvaluator

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

    from proxyhpo._records.records import Config

__all__ = ["TrainingEvaluator", "report_of"]

_OPTIONAL = ("budget", "seed", "checkpoint_dir")
_ALLOWED = "a number, or a mapping of names to numbers with a 'value'"


@final
class TrainingEvaluator(ProxyEvaluator):
    """Calls ``train(network, config)``, with what else it has parameters for.

    ``train`` is a generator that yields after each step, such as an epoch, the last yield being
    the trial's value; or a plain function that returns the value. What it yields or returns is a
    number (an int, a float, a numpy scalar, a tensor without dimensions) or a mapping with a
    ``"value"`` and further metrics, all numbers; ``"seconds"`` among them overrides the measured
    training time. Whether a training was stopped early or raised, a generator's ``finally`` runs.

    Args:
        train: told by its signature (that of the innermost function, through ``functools.wraps``
            and ``functools.partial``): a parameter ``budget`` gets the fraction of a full training
            that is wanted, so that schedules can anneal; a parameter ``seed`` a number in
            [0, 2**63); a parameter ``checkpoint_dir`` an existing folder, a ``pathlib.Path``,
            that is the same one when this training is begun anew because its process or its
            study was killed, and is removed once it has ended: from the checkpoints in there it
            may go on. ``**kwargs`` alone does not ask for any of them.

    Raises:
        TypeError: if ``train`` cannot be called, or is asynchronous.
        ArgumentError: if it cannot be called as ``train(network, config)``.

    >>> def train(network, config, budget):
    ...     for epoch in range(round(4 * budget)):
    ...         yield {"value": 0.9 + epoch / 100, "loss": 0.1}
    >>> evaluator = TrainingEvaluator(train)
    >>> for report in evaluator.evaluate(None, {"lr": 0.1}, budget=0.5, seed=0):
    ...     print(report)
    Report(value=0.9, metrics={'loss': 0.1})
    Report(value=0.91, metrics={'loss': 0.1})
    """

    def __init__(self, train: Callable[..., Any]) -> None:
        if not callable(train):
            raise TypeError(f"train must be a function train(network, config), got {train!r}")
        if _is_async(train):
            raise TypeError(f"train must not be asynchronous, got {train!r}")
        self.train = train
        self._optional = _optional_parameters(train)

    @property
    @override
    def takes_budget(self) -> bool:
        """Whether ``train`` has a parameter ``budget``."""
        return "budget" in self._optional

    @property
    @override
    def takes_checkpoint_dir(self) -> bool:
        """Whether ``train`` has a parameter ``checkpoint_dir``."""
        return "checkpoint_dir" in self._optional

    @override
    def evaluate(
        self,
        network: nn.Module,
        config: Config,
        *,
        budget: float,
        seed: int,
        checkpoint_dir: Path | None = None,
    ) -> Iterator[Report]:
        """Calls ``train`` and yields a report for each thing that it yields, or the one returned.

        Raises:
            TypeError: if it yields or returns anything else than the class describes, or takes a
                ``checkpoint_dir`` and none is given.
            ValueError: if a mapping has no ``"value"``.
        """
        if checkpoint_dir is None and self.takes_checkpoint_dir:
            raise TypeError("train takes a checkpoint_dir: give evaluate() an existing folder")
        offered = {"budget": budget, "seed": seed, "checkpoint_dir": checkpoint_dir}
        outcome = self.train(network, config, **{name: offered[name] for name in self._optional})
        if isinstance(outcome, Iterator):
            yield from _reports(outcome)
        elif outcome is None:
            raise TypeError(
                f"train returned nothing: it must yield, after each step, or return {_ALLOWED}"
            )
        elif inspect.iscoroutine(outcome):
            outcome.close()  # it would warn that nobody awaited it
            raise TypeError("train must not be asynchronous: it returned a coroutine")
        else:
            yield report_of(outcome, "returned")

    def __repr__(self) -> str:
        return f"TrainingEvaluator({getattr(self.train, '__qualname__', self.train)})"


def _is_async(train: Callable[..., Any]) -> bool:
    return any(
        inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
        for function in (train, type(train).__call__)
    )


def _optional_parameters(train: Callable[..., Any]) -> tuple[str, ...]:
    """Which of the optional parameters ``train`` is to be called with."""
    try:
        outer = inspect.signature(train, follow_wrapped=False)
        inner = inspect.signature(train)
    except (ValueError, TypeError):  # of some functions written in C: nothing is known
        return ()
    fixed = train.keywords if isinstance(train, functools.partial) else {}
    wanted = [name for name in _OPTIONAL if name in inner.parameters and name not in fixed]
    accepted = tuple(name for name in wanted if _has_keyword(outer, name))
    try:
        outer.bind("network", "config", **dict.fromkeys(accepted))
    except TypeError as error:
        raise ArgumentError(
            f"train must take (network, config), and may take {', '.join(_OPTIONAL)} by name; "
            f"its signature is {outer}: {error}"
        ) from None
    return accepted


def _has_keyword(signature: inspect.Signature, name: str) -> bool:
    parameters = signature.parameters
    if name in parameters:
        return parameters[name].kind is not inspect.Parameter.POSITIONAL_ONLY
    return any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())


def _reports(steps: Iterator[Any]) -> Iterator[Report]:
    try:
        while True:
            try:
                step = next(steps)
            except StopIteration as end:
                if end.value is not None:
                    raise TypeError(
                        f"train is a generator, and returned {end.value!r} too: yield it instead"
                    ) from None
                return
            yield report_of(step, "yielded")
    finally:
        if callable(close := getattr(steps, "close", None)):
            close()  # so that the generator's own finally runs now


def report_of(outcome: object, verb: str) -> Report:
    """What ``train`` yielded or returned, checked."""
    if not isinstance(outcome, Mapping):
        return Report(_number(outcome, f"train {verb}"))
    if odd := [key for key in outcome if not isinstance(key, str)]:
        raise TypeError(f"train {verb} a mapping with the keys {odd}: they must be strings")
    if "value" not in outcome:
        close = difflib.get_close_matches("value", outcome, n=1)
        hint = f"rename {close[0]!r}?" if close else f"there are {list(outcome)}"
        raise ValueError(f"train {verb} a mapping without 'value': {hint}")
    numbers = {key: _number(item, f"train {verb} {key!r}:") for key, item in outcome.items()}
    return Report(numbers.pop("value"), numbers)


def _number(given: object, where: str) -> float:
    if isinstance(given, (Tensor, np.ndarray)) and given.ndim == 0:
        given = given.item()
    # A bool is an int, but "it improved" is no value.
    if isinstance(given, Real) and not isinstance(given, bool):
        return float(given)
    shape = f" of shape {tuple(given.shape)}" if isinstance(given, (Tensor, np.ndarray)) else ""
    text = "" if shape else f" {given!r:.200}"
    raise TypeError(f"{where} a {type(given).__name__}{shape}{text}; allowed is {_ALLOWED}")
