"""Runs a search with an objective that was written for Optuna."""

from __future__ import annotations

import inspect
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, final

import optuna
from typing_extensions import override

from proxyhpo._arguments import ELSEWHERE
from proxyhpo._hpo import ProxyHPO
from proxyhpo._inputs import Inputs
from proxyhpo._records.report import report_of
from proxyhpo._validation import check_whole
from proxyhpo.errors import ArgumentError, unknown_name
from proxyhpo.evaluators import (
    Direction,
    ProxyEvaluator,
    ReportChoice,
    ReportFunction,
    TrialRun,
)
from proxyhpo.evaluators._budget import within_budget
from proxyhpo.evaluators._interface import check_report_choice
from proxyhpo.integrations.optuna._discovery import find_space
from proxyhpo.integrations.optuna._first_call import DefineModel, Objective, run_until_called
from proxyhpo.integrations.optuna._trial import ConfigAnswer, Domain, ScriptTrial
from proxyhpo.space import Space

if TYPE_CHECKING:
    from torch import nn

    from proxyhpo import Config

__all__ = ["from_objective"]

logger = logging.getLogger("proxyhpo")


def from_objective(
    define_model: DefineModel,
    objective: Objective,
    *,
    direction: Direction | None = None,
    space: Mapping[str, Any] | None = None,
    example_inputs: Inputs | None = None,
    use_report: ReportChoice = "last",
    steps: int | None = None,
    **options: Any,
) -> ProxyHPO:
    """A search with an objective that was written for Optuna.

    The objective receives the network as an argument, because the network may be a proxy. The rest
    of the script remains as it is. Both functions call ``trial.suggest_*``. The objective calls
    ``trial.report`` and ``trial.should_prune``, raises ``optuna.TrialPruned`` and returns a value.

    To find the space, both functions are run a few dozen times, with different values. Each run
    ends when the network is called for the first time, before anything is trained. If the runs will
    take more than ten seconds in total, for example because the objective loads data, a warning
    says how long.

    A parameter gets a condition (``when=``) if it is suggested only for some values of a choice, or
    of an ``int`` with at most ten values. A parameter that depends on several others or on a range
    is part of every config, and some trainings do not use it. The bounds and options of a parameter
    must be the same in every trial. If a training asks for a parameter that its config does not
    have, it receives the middle of the parameter's range, with a warning.

    As in Optuna, the value of a trial is what the objective returns. If it differs from the last
    report, it is recorded as one more report. If the objective returns None, or if the training
    ends before the objective returns, the value is the last report. An objective that returns the
    value of its best epoch should load the weights of that epoch before; or pass
    ``use_report="best"``.

    ``should_prune`` returns True when the training must end, because the study stops it or its
    budget is spent. If an objective does not call ``should_prune``, its next report raises
    ``optuna.TrialPruned``. If an objective raises ``TrialPruned`` although the training need not
    end, the trial fails. ``trial.number`` is 0 in ``define_model``, because networks are also built
    to be measured. User attributes are not stored, and there is no ``trial.study``.

    Args:
        define_model: ``define_model(trial)`` returns a new network.
        objective: ``objective(trial, network)`` trains this network, which is on the CPU, and
            returns the value.
        direction: ``"minimize"`` or ``"maximize"`` the value.
        space: of the parameters, with the names that the script suggests. If it is given, the
            functions are not run to find the parameters. Its bounds and options may differ from
            those in the script.
        example_inputs: a typical batch, see :class:`~proxyhpo.ProxyHPO`. By default, the arguments
            of the objective's first call of the network.
        use_report: which report is the training's value and has the weights that are kept:
            ``"last"``, or ``"best"`` for objectives that return the value of their best epoch; see
            :class:`~proxyhpo.evaluators.ProxyEvaluator`.
        steps: number of reports of a full training. Required if a rung of the ladder has a budget
            below 1: its trainings end after that fraction of the reports. Full trainings are not
            affected.
        options: further arguments of :class:`~proxyhpo.ProxyHPO`.

    Raises:
        SpaceError: if the space cannot be found; the message names the parameter.
        ArgumentError: for an invalid argument, or if each of the first runs raises an exception.

    >>> from torch import nn, optim, zeros
    >>> def define_model(trial):
    ...     return nn.Sequential(nn.Linear(4, trial.suggest_int("units", 8, 64)), nn.ReLU())
    >>> def objective(trial, model):
    ...     kind = trial.suggest_categorical("optimizer", ["Adam", "SGD"])
    ...     if kind == "SGD":
    ...         momentum = trial.suggest_float("momentum", 0, 0.9)
    ...     return model(zeros(16, 4)).mean()
    >>> hpo = from_objective(define_model, objective, direction="minimize", proxies=False)
    >>> hpo.space["momentum"]
    Float(0.0, 0.9, when=('optimizer', ('SGD',)))
    """
    _check_options(options)
    _check_parameters("define_model", define_model, "trial")
    _check_parameters("objective", objective, "trial", "network")
    domains: Mapping[str, Domain] | None = None
    called_with: Inputs | None = None
    if space is None:
        found = find_space(define_model, objective)
        space = domains = found.space
        called_with = found.inputs
    elif example_inputs is None:
        given = space if isinstance(space, Space) else Space(space)
        answer = ConfigAnswer(given.resolve(given.center()))
        end = run_until_called(define_model, objective, answer)
        if end.error is not None:
            raise end.error
        called_with = end.inputs
    inputs = called_with if example_inputs is None else example_inputs
    if inputs is None:
        raise ArgumentError(
            "example_inputs must be given, because the objective does not call the network itself "
            "before its first report"
        )
    return ProxyHPO(
        _Build(define_model, domains),
        ObjectiveEvaluator(objective, domains, use_report=use_report, steps=steps),
        space,
        example_inputs=inputs,
        direction=direction,
        **options,
    )


@final
class ObjectiveEvaluator(ProxyEvaluator):
    """Calls the user's objective.

    Args:
        objective: ``objective(trial, network)``.
        domains: see :class:`~proxyhpo.integrations.optuna._trial.ConfigAnswer`.
        use_report: see :class:`~proxyhpo.evaluators.ProxyEvaluator`.
        steps: see :func:`from_objective`.
    """

    def __init__(
        self,
        objective: Objective,
        domains: Mapping[str, Domain] | None,
        *,
        use_report: ReportChoice = "last",
        steps: int | None = None,
    ) -> None:
        self._domains = domains
        self.use_report = check_report_choice(use_report)
        self.steps = None if steps is None else check_whole("steps", steps, 1)
        self.__wrapped__ = objective  # inspect finds its source here, so that changes are noticed

    @property
    @override
    def takes_budget(self) -> bool:
        """Whether a training can be shortened: if the number of its reports is known."""
        return self.steps is not None

    @override
    def evaluate(
        self, network: nn.Module, config: Config, report: ReportFunction, *, trial: TrialRun
    ) -> None:
        """Calls the objective, and reports what it returns.

        Raises:
            TypeError: if the returned value is not a number.
            TrialPruned: if the objective raises it, unless the budget is spent.
        """
        most = math.inf
        if self.steps is not None and trial.budget < 1:
            most = within_budget(self.steps, trial.budget)
        answer = ConfigAnswer(config, self._domains)
        script_trial = ScriptTrial(answer, report, number=trial.number, most_reports=most)
        reported = script_trial.reported
        loads = _Loads(reported)
        hook = network.register_load_state_dict_post_hook(loads)  # type: ignore[no-untyped-call]  # torch's
        try:
            returned = self.__wrapped__(script_trial, network)
        except optuna.TrialPruned:
            if len(reported) < most:
                raise
            return
        finally:
            hook.remove()
        if returned is None:
            return
        value = report_of(returned, "objective returned").value
        if value in reported[-1:] or (value in reported and self.use_report == "best"):
            return
        if value in reported and len(reported) not in loads.after:
            _warn_of_last_weights()
        report(value)

    def __repr__(self) -> str:
        return f"ObjectiveEvaluator({getattr(self.__wrapped__, '__qualname__', self.__wrapped__)})"


class _Loads:
    """The number of reports before each ``load_state_dict``; not copied with the network."""

    def __init__(self, reported: Sequence[float]) -> None:
        self._reported = reported
        self.after: list[int] = []

    def __call__(self, *_: object) -> None:
        self.after.append(len(self._reported))

    @override
    def __reduce__(self) -> tuple[type[_Loads], tuple[Sequence[float]]]:
        return _Loads, ((),)


@cache  # one warning for each process
def _warn_of_last_weights() -> None:
    logger.warning(
        "the objective returns the value of an earlier report, such as that of its best epoch, but "
        "the network has the weights of the last report, and best_network() will have them too. "
        'Load the state_dict of that epoch before returning, or pass use_report="best"'
    )


@final
@dataclass(frozen=True)
class _Build:
    """Builds the network of a config."""

    define_model: DefineModel
    domains: Mapping[str, Domain] | None

    def __call__(self, config: Config) -> nn.Module:
        return self.define_model(ScriptTrial(ConfigAnswer(config, self.domains)))


def _check_options(options: Mapping[str, Any]) -> None:
    """Checks the names of further arguments before the user's functions are run."""
    taken = {*inspect.signature(ProxyHPO).parameters, *inspect.signature(from_objective).parameters}
    allowed = taken - {"build", "train", "options"}
    for name in options:
        if name not in allowed:
            hint = ELSEWHERE.get(name, "")
            raise unknown_name("argument of from_objective:", name, allowed, hint=hint)


def _check_parameters(argument: str, function: object, *parameters: str) -> None:
    """Checks that a function can be called with these arguments."""
    form = f"{argument}({', '.join(parameters)})"
    if not callable(function):
        raise ArgumentError(f"{argument} must be a function {form}, got {function!r}")
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some functions written in C have no signature
        return
    try:
        signature.bind(*parameters)
    except TypeError as error:
        hint = ""
        if argument == "objective":
            hint = ". Add the network as its second parameter, and do not call define_model in it"
        raise ArgumentError(
            f"{argument} must take {form}; its signature is {signature}: {error}{hint}"
        ) from None
