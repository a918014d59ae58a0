"""Finds the space of a script by running it, without training anything."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from proxyhpo._inputs import Inputs
from proxyhpo.errors import ArgumentError, SpaceError, one_line
from proxyhpo.integrations.optuna._conditions import Run, can_decide, with_conditions
from proxyhpo.integrations.optuna._first_call import DefineModel, Objective, run_until_called
from proxyhpo.integrations.optuna._trial import Domain, check_alike
from proxyhpo.space import Choice, Space
from proxyhpo.space._values import find

__all__ = ["Found", "find_space"]

_CHECKS = 10
"""Configs of the space that are tried, in a row, without meeting another parameter."""

_MOST_RUNS = 200
_MOST_FAILURES = 5  # of the first runs, all of which failed


@dataclass(frozen=True)
class Found:
    """What the runs have found.

    Args:
        space: name → definition with its condition, in the order of the suggestions.
        inputs: of the network's first call in the first run that called it; None if none did.
    """

    space: Mapping[str, Domain]
    inputs: Inputs | None


def find_space(define_model: DefineModel, objective: Objective) -> Found:
    """Runs the functions until the network is called, again and again, and notes the suggestions.

    Every parameter with few options or whole numbers has each of its values once, with the values
    suggested before it unchanged and random ones after it. Then random configs of the space are
    tried, which finds parameters that depend on several others.

    Raises:
        SpaceError: if the bounds or options of a parameter differ from run to run, if there are too
            many parameters, or if there is none.
        ArgumentError: if the functions raise an exception in each of the first runs.
    """
    search = _Search(define_model, objective)
    n_checked = 0
    while search.pending or n_checked < _CHECKS:
        if search.pending:
            search.run(search.pending.popleft())
        else:
            n_before = len(search.domains)
            search.run(search.draw())
            n_checked = n_checked + 1 if len(search.domains) == n_before else 0
    return Found(search.space(), search.inputs)


class _Search:
    """The runs so far."""

    def __init__(self, define_model: DefineModel, objective: Objective) -> None:
        self._functions = define_model, objective
        self._rng = np.random.default_rng(0)  # the same space each time, so that studies resume
        self._runs: list[Run] = []
        self.domains: dict[str, Domain] = {}
        self.inputs: Inputs | None = None
        self.pending: deque[Mapping[str, Any]] = deque([{}])
        """Values to try together; the others are drawn."""

    def space(self) -> dict[str, Domain]:
        """The space of all parameters so far."""
        if not self.domains:
            raise SpaceError(
                "define_model and objective suggest no parameter before the network is called"
            )
        return with_conditions(self.domains, self._runs)

    def draw(self) -> Mapping[str, Any]:
        """A random config of the space."""
        return Space(self.space()).sample(self._rng)

    def run(self, given: Mapping[str, Any]) -> None:
        """Runs the functions with these values."""
        if len(self._runs) == _MOST_RUNS:
            raise SpaceError(
                f"the space was not found in {_MOST_RUNS} runs of the objective: its parameters "
                f"have too many values ({', '.join(self.domains)}). Pass space="
            )
        values: dict[str, Any] = {}
        new: list[str] = []

        def answer(name: str, asked: Domain) -> Any:
            if name not in self.domains:
                self.domains[name] = asked
                new.append(name)
            check_alike(name, self.domains[name], asked)
            if name not in values:
                drawn = asked.decode(self._rng.random())
                values[name] = given.get(name, drawn)
            return asked.resolve(values[name]) if isinstance(asked, Choice) else values[name]

        end = run_until_called(*self._functions, answer)
        self._runs.append(Run(values, is_whole=end.error is None))
        self._check_failures(end.error)
        if self.inputs is None:
            self.inputs = end.inputs
        for name in new:
            self._plan(name, values)

    def _plan(self, name: str, values: Mapping[str, Any]) -> None:
        """Plans runs with the other values of a parameter, in the context of this run."""
        if can_decide(domain := self.domains[name]):
            names = list(values)
            before = {n: values[n] for n in names[: names.index(name)]}
            others = [v for v in domain.values or () if find([values[name]], v) is None]
            self.pending.extend({**before, name: value} for value in others)

    def _check_failures(self, error: Exception | None) -> None:
        if len(self._runs) == _MOST_FAILURES and not any(run.is_whole for run in self._runs):
            assert error is not None, "it has just failed"
            raise ArgumentError(
                f"define_model and objective raised an exception in all of the first "
                f"{_MOST_FAILURES} runs, which look for their parameters: {one_line(error)}"
            ) from error
