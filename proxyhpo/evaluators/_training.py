"""The evaluator that calls the user's own training function."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any, final

from typing_extensions import override

from proxyhpo._records.report import ALLOWED, Report, report_of
from proxyhpo._validation import suggesting
from proxyhpo.errors import ArgumentError
from proxyhpo.evaluators._interface import (
    ProxyEvaluator,
    ReportChoice,
    ReportFunction,
    TrialRun,
    check_report_choice,
)
from proxyhpo.evaluators._parameters import takes

if TYPE_CHECKING:
    from torch import nn

    from proxyhpo._records.records import Config

__all__ = ["TrainingEvaluator"]

_OPTIONAL = ("report", "trial", "budget", "seed", "checkpoint_dir", "device")


@final
class TrainingEvaluator(ProxyEvaluator):
    """Calls ``train(network, config)``, with further arguments if it has parameters for them.

    ``train`` has one of three forms:

    - a generator that yields after each step, such as an epoch. To stop it early the generator is
      closed, so that its ``finally`` blocks run;
    - a function with a parameter ``report`` that returns nothing. It calls ``report(value)`` after
      each step, from anywhere, for example from a callback of a framework. It must end when
      ``report`` returns True; later reports are ignored;
    - a function that returns the value.

    It yields or returns a number (an int, a float, a NumPy scalar, a tensor without dimensions) or
    a mapping with a ``"value"`` and further metrics, all numbers. ``report`` takes metrics by
    keyword, ``report(accuracy, loss=0.3)``. The last value is the trial's value. The metric
    ``"seconds"`` overrides the measured training time.

    Args:
        train: its signature (that of the innermost function, through ``functools.wraps`` and
            ``functools.partial``) decides which of these are passed by keyword:

            - ``report``: see :class:`~proxyhpo.evaluators.ReportFunction`;
            - ``trial``: the :class:`~proxyhpo.evaluators.TrialRun`, with all of the following and a
              name for trackers;
            - ``budget``: the fraction of a full training to train for, so that schedules can
              anneal;
            - ``seed``: a number in [0, 2**63);
            - ``checkpoint_dir``: an existing folder, a ``pathlib.Path``. It is the same folder if
              this training runs again because its process or its study was killed, and is removed
              once the training has ended;
            - ``device``: the ``torch.device`` that the study was given.

            ``**kwargs`` alone requests none of them.

        use_report: which report is the training's value, ``"last"`` or ``"best"``; see
            :class:`~proxyhpo.evaluators.ProxyEvaluator`.

    Raises:
        TypeError: if ``train`` cannot be called, or is asynchronous.
        ArgumentError: if it cannot be called as ``train(network, config)``.

    >>> def train(network, config, budget):
    ...     for epoch in range(round(4 * budget)):
    ...         yield {"value": 0.9 + epoch / 100, "loss": 0.1}
    >>> def report(value, **metrics):
    ...     print(value, metrics)
    ...     return False
    >>> run = TrialRun(number=0, rung=0, name="trial-0-rung-0", budget=0.5)
    >>> TrainingEvaluator(train).evaluate(None, {"lr": 0.1}, report, trial=run)
    0.9 {'loss': 0.1}
    0.91 {'loss': 0.1}
    """

    @suggesting
    def __init__(self, train: Callable[..., Any], *, use_report: ReportChoice = "last") -> None:
        if not callable(train):
            raise TypeError(f"train must be a function train(network, config), got {train!r}")
        if _is_async(train):
            raise TypeError(f"train must not be asynchronous, got {train!r}")
        self.train = train
        self.use_report = check_report_choice(use_report)
        self._optional = _optional_parameters(train)

    @property
    @override
    def takes_budget(self) -> bool:
        """Whether ``train`` has a parameter ``budget``."""
        return "budget" in self._optional

    @property
    @override
    def takes_checkpoint_dir(self) -> bool:
        """Whether ``train`` has a parameter ``checkpoint_dir`` or ``trial``."""
        return not {"checkpoint_dir", "trial"}.isdisjoint(self._optional)

    @override
    def evaluate(
        self, network: nn.Module, config: Config, report: ReportFunction, *, trial: TrialRun
    ) -> None:
        """Calls ``train`` and reports each value that it yields, or the one that it returns.

        Raises:
            TypeError: if it yields or returns anything but the above, or takes a ``checkpoint_dir``
                and the trial has none.
            ValueError: if a mapping has no ``"value"``.
        """
        if trial.checkpoint_dir is None and "checkpoint_dir" in self._optional:
            raise TypeError("train takes `checkpoint_dir`, but trial.checkpoint_dir is None")
        offered = {
            "report": report,
            "trial": trial,
            "budget": trial.budget,
            "seed": trial.seed,
            "checkpoint_dir": trial.checkpoint_dir,
            "device": trial.device,
        }
        returned = self.train(network, config, **{name: offered[name] for name in self._optional})
        if "report" in self._optional:
            _check_reporting(returned)
        elif isinstance(returned, Iterator):
            with closing(_steps(returned)) as steps:
                for step in steps:
                    yielded = report_of(step, "train yielded")
                    if report(yielded.value, **yielded.metrics):
                        break
        else:
            only = _returned(returned)
            report(only.value, **only.metrics)

    def __repr__(self) -> str:
        return f"TrainingEvaluator({getattr(self.train, '__qualname__', self.train)})"


def _steps(steps: Iterator[Any]) -> Generator[Any, None, None]:
    """Wraps an iterator in a generator, which can be closed."""
    returned: Any = yield from steps  # type: ignore[func-returns-value]  # generators do
    if returned is not None:
        raise TypeError(f"train is a generator, but also returned {returned!r}: yield it instead")


def _returned(returned: Any) -> Report:
    if returned is None:
        raise TypeError(
            "train returned nothing: it must yield after each step, take `report` and call it, or "
            f"return {ALLOWED}"
        )
    if inspect.iscoroutine(returned):
        returned.close()  # avoids the warning that it was never awaited
        raise TypeError("train must not be asynchronous: it returned a coroutine")
    return report_of(returned, "train returned")


def _check_reporting(returned: Any) -> None:
    """Checks that a function that takes ``report`` neither yields nor returns values."""
    if isinstance(returned, Iterator):
        raise TypeError("train takes `report` and is a generator: use either report or yield")
    if returned is not None:
        raise TypeError(f"train takes `report`, but also returned {returned!r}: report it instead")


def _is_async(train: Callable[..., Any]) -> bool:
    return any(
        inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
        for function in (train, type(train).__call__)
    )


def _optional_parameters(train: Callable[..., Any]) -> tuple[str, ...]:
    """The optional parameters that ``train`` accepts."""
    try:
        outer = inspect.signature(train, follow_wrapped=False)
    except (ValueError, TypeError):  # some functions written in C have no signature
        return ()
    accepted = tuple(name for name in _OPTIONAL if takes(train, name))
    try:
        outer.bind("network", "config", **dict.fromkeys(accepted))
    except TypeError as error:
        raise ArgumentError(
            f"train must take (network, config), and optionally {', '.join(_OPTIONAL)} by name; "
            f"its signature is {outer}: {error}"
        ) from None
    return accepted
