"""The trial that ``define_model`` and ``objective`` receive."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol, TypeAlias, final

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.trial import FixedTrial
from typing_extensions import override

from proxyhpo.errors import SpaceError
from proxyhpo.evaluators import ReportFunction
from proxyhpo.integrations.optuna._distributions import (
    are_alike,
    choice_of,
    distribution_of,
    number_of,
)
from proxyhpo.space import Choice, Float, Int

__all__ = ["Answer", "ConfigAnswer", "Domain", "ScriptTrial", "check_alike"]

logger = logging.getLogger("proxyhpo")

Domain: TypeAlias = Float | Int | Choice


class Answer(Protocol):
    """Decides the values that a trial suggests."""

    def __call__(self, name: str, asked: Domain, /) -> Any:
        """The value of a parameter, an object if the options are objects."""


@final
class ScriptTrial(FixedTrial):
    """The part of Optuna's trial that functions use to build or train a network.

    Args:
        answer: decides the values of the parameters.
        report: receives each reported value, and returns whether the training must end.
        number: of the trial.
        most_reports: number of reports after which the training must end.

    >>> trial = ScriptTrial(ConfigAnswer({"lr": 0.1, "momentum": 0.9}))
    >>> trial.suggest_float("lr", 1e-4, 1, log=True)
    0.1
    >>> trial.params
    {'lr': 0.1}
    """

    def __init__(
        self,
        answer: Answer,
        report: ReportFunction | None = None,
        number: int = 0,
        *,
        most_reports: float = math.inf,
    ) -> None:
        super().__init__({}, number)
        self._answer = answer
        self._report = report
        self._asked: dict[str, Domain] = {}
        self._answers: dict[str, Any] = {}
        self._most_reports = most_reports
        self._must_end = False
        self._steps: set[int] = set()
        self.reported: list[float] = []
        """The reported values."""

    @override
    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        given = FloatDistribution(low, high, step=step, log=log)
        return float(self._suggest_value(name, number_of, given))

    @override
    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int:
        given = IntDistribution(low, high, step=step, log=log)
        return int(self._suggest_value(name, number_of, given))

    @override
    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        return self._suggest_value(name, choice_of, choices)

    def _suggest_value(self, name: str, make: Callable[[Any], Domain], given: Any) -> Any:
        try:
            self._asked[name] = make(given)
        except SpaceError as error:
            raise SpaceError(f"parameter {name!r}: {error}") from None
        self._answers[name] = self._answer(name, self._asked[name])
        return self._answers[name]

    @override
    def report(self, value: float, step: int) -> None:
        """Reports the value after a step.

        Args:
            value: what the user optimises.
            step: stored as a metric of the report. As in Optuna, a second report at the same step
                is ignored, with a warning.

        Raises:
            optuna.TrialPruned: if the training continues although it must end.
        """
        if self._must_end:
            raise optuna.TrialPruned
        if step in self._steps:
            warnings.warn(
                f"the report of {value!r} is ignored because step {step} was reported before",
                stacklevel=2,
            )
            return
        if self._report is not None:
            self._must_end = self._report(value, step=step)
        self._steps.add(step)
        self.reported.append(float(value))
        self._must_end = self._must_end or len(self.reported) >= self._most_reports

    @override
    def should_prune(self) -> bool:
        return self._must_end

    @property
    @override
    def params(self) -> dict[str, Any]:
        return dict(self._answers)

    @property
    @override
    def distributions(self) -> dict[str, BaseDistribution]:
        return {name: distribution_of(asked) for name, asked in self._asked.items()}


@final
@dataclass(frozen=True)
class ConfigAnswer:
    """Answers from a config.

    Args:
        config: name → value; objects instead of labels.
        domains: what the functions suggested when the space was found. None if the user gave the
            space; its bounds and options may then differ from the script's.
    """

    config: Mapping[str, Any]
    domains: Mapping[str, Domain] | None = None

    def __call__(self, name: str, asked: Domain, /) -> Any:
        """The value of a parameter.

        If the config lacks a parameter of the space, the value is the middle of its range, and a
        warning is logged. This happens if the condition that was found is wrong, because none of
        the runs contradicted it.

        Raises:
            SpaceError: if neither the config nor the space has the parameter, or if its bounds or
                options differ from those that were found.
        """
        if name not in self.config and self.domains is not None and name in self.domains:
            check_alike(name, self.domains[name], asked)
            value = asked.decode(0.5)
            _warn_of_condition(name, value, str(self.domains[name]))
            return asked.resolve(value) if isinstance(asked, Choice) else value
        if name not in self.config:
            raise SpaceError(
                f"parameter {name!r} is not in the config of this trial. Suggest it before the "
                "network is called for the first time. If it is suggested only for a rare "
                "combination of values, pass space= with all parameters"
            )
        if self.domains is not None:
            check_alike(name, self.domains[name], asked)
        return self.config[name]


@cache  # one warning for each parameter
def _warn_of_condition(name: str, value: object, found: str) -> None:
    logger.warning(
        "parameter %r is not in the config of this trial, but the objective suggests it, so the "
        "condition that was found is wrong: %s. The value is %r in this trial and in all others "
        "like it. To search this parameter, pass space=",
        name,
        found,
        value,
    )


def check_alike(name: str, found: Domain, asked: Domain) -> None:
    """Checks that the bounds or options of a parameter are those that were found.

    Raises:
        SpaceError: otherwise.
    """
    if not are_alike(found, asked):
        raise SpaceError(
            f"parameter {name!r} must have the same bounds or options in every trial, got {found} "
            f"and {asked}. Make them constant, for example by suggesting a fraction of another "
            "parameter. Or define the space yourself, and write functions of a config: "
            "ProxyHPO(build, train, space)"
        )
