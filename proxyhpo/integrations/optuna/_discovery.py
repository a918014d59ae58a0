"""Finds the space of a script by running the script, without training anything."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

from proxyhpo._inputs import Inputs
from proxyhpo._progress.status import duration_words
from proxyhpo.errors import ArgumentError, SpaceError, one_line
from proxyhpo.integrations.optuna._conditions import (
    N_CONFIRMING,
    Condition,
    Run,
    can_decide,
    exact_conditions,
    times_tried,
    with_conditions,
)
from proxyhpo.integrations.optuna._first_call import DefineModel, Objective, run_until_called
from proxyhpo.integrations.optuna._trial import Domain, check_alike
from proxyhpo.space import Choice
from proxyhpo.space._values import find

__all__ = ["Found", "find_space"]

logger = logging.getLogger("proxyhpo")

_CHECKS = 16
"""All parameters count as found after this many random configs in a row without a new one."""

_MOST_RUNS = 200  # to find all parameters; runs that confirm conditions are not counted
_MOST_CONFIRMING_RUNS = 200
_MOST_FAILURES = 5  # if the first runs all fail, no more than this many are made
_LONG = 10.0  # seconds; if all runs together will take longer, a warning is logged
_EXTREME = 0.125  # fraction of draws that are the lowest value of a range; as many are the highest


@dataclass(frozen=True)
class Found:
    """The space that was found, and the inputs of the network.

    Args:
        space: name → definition with its condition, in the order of the suggestions.
        inputs: of the first call of the network; None if no run called it.
    """

    space: Mapping[str, Domain]
    inputs: Inputs | None


def find_space(define_model: DefineModel, objective: Objective) -> Found:
    """Runs the functions repeatedly, each time until they call the network, and notes suggestions.

    First, each parameter with few values (options or whole numbers) gets each of them once. In such
    a run, the parameters suggested earlier keep their values, and those suggested later are random.
    Random configs then find parameters that depend on several others. Further random configs
    confirm the conditions. A condition that is not confirmed after about 200 of them is dropped
    with a warning, and its parameter becomes part of every config. The limits are numbers of runs
    and not times, so a script has the same space on every machine, and its study can be resumed. If
    the runs are slow, a warning says how long they will take.

    Raises:
        SpaceError: if the bounds or options of a parameter differ from run to run, if there are too
            many parameters, or if there is none.
        ArgumentError: if the functions raise an exception in each of the first runs.
    """
    search = _Search(define_model, objective)
    has_warned = False
    n_checked = n_confirming = 0
    while True:
        n_before = len(search.domains)
        if search.pending:
            search.run(search.pending.popleft(), is_independent=False)
        elif n_checked < _CHECKS:
            search.run({})
            n_checked += 1
        elif n_confirming < _MOST_CONFIRMING_RUNS and (to_confirm := search.to_confirm()):
            for given in to_confirm:
                search.run(given)
            n_confirming += len(to_confirm)
        else:
            break
        if len(search.domains) > n_before:
            n_checked = 0
        has_warned = has_warned or _warned_if_long(search, _CHECKS - n_checked)
        if search.n_runs - n_confirming > _MOST_RUNS:
            raise SpaceError(
                f"the space was not found in {_MOST_RUNS} runs of the objective, because its "
                f"parameters have too many values: {', '.join(search.domains)}. Pass space="
            )
    space = search.space()
    if dropped := search.unconfirmed(space):
        logger.warning(
            "%d runs of the objective did not confirm the conditions of %s. Every config will have "
            "these parameters. To give them conditions, pass space=",
            search.n_runs,
            ", ".join(dropped),
        )
    return Found(space, search.inputs)


def _warned_if_long(search: _Search, n_checks: int) -> bool:
    """Warns if the runs will take long in total, and returns whether it did.

    The first run is not counted, since it may import modules and fill caches.
    """
    n_least = search.n_runs + len(search.pending) + n_checks
    seconds = search.seconds / max(1, search.n_runs - 1)
    if is_long := n_least * seconds > _LONG:
        logger.warning(
            "finding the space will take at least %s: the objective is run at least %d times until "
            "it calls the network, and each run takes %.2g s. To shorten this, load data outside "
            "of the objective, or pass space=",
            duration_words(n_least * seconds),
            n_least,
            seconds,
        )
    return is_long


class _Search:
    """The runs so far."""

    def __init__(self, define_model: DefineModel, objective: Objective) -> None:
        self._functions = define_model, objective
        self._rng = np.random.default_rng(0)  # the same space each time, so that studies resume
        self._runs: list[Run] = []
        self._places: defaultdict[str, list[float]] = defaultdict(list)
        self._n_forced: Counter[tuple[str, type, Any]] = Counter()
        self.domains: dict[str, Domain] = {}
        self.inputs: Inputs | None = None
        self.pending: deque[Mapping[str, Any]] = deque([{}])
        """The values to set in each planned run; the others are random."""
        self.seconds = 0.0
        """The duration of all runs but the first."""

    @property
    def n_runs(self) -> int:
        """The number of runs so far."""
        return len(self._runs)

    def space(self) -> dict[str, Domain]:
        """The space of all parameters so far."""
        if not self.domains:
            raise SpaceError(
                "define_model and objective suggest no parameter before the network is called"
            )
        return with_conditions(self.domains, self._runs)

    def unconfirmed(self, space: Mapping[str, Domain]) -> list[str]:
        """The parameters without a condition, although all runs agree with one."""
        return [name for name in space if space[name].when is None and self._condition(name)]

    def to_confirm(self) -> list[Mapping[str, Any]]:
        """One run for each value of a conditioning parameter that has had too few runs."""
        tried = times_tried(self._runs)
        conditions = {name: self._condition(name) for name in self.domains}
        parents = dict.fromkeys(c[0] for c in conditions.values() if c is not None)
        planned: list[Mapping[str, Any]] = []
        for parent in parents:
            for value in self.domains[parent].values or ():
                key = parent, type(value), value
                # A value that runs rarely reach is tried no more, so its condition is dropped.
                if tried[key] < N_CONFIRMING and self._n_forced[key] < 2 * N_CONFIRMING:
                    self._n_forced[key] += 1
                    given = {parent: value}
                    above = conditions[parent]
                    while above is not None:
                        given[above[0]] = above[1][self._rng.integers(len(above[1]))]
                        above = conditions[above[0]]
                    planned.append(given)
        return planned

    def run(self, given: Mapping[str, Any], *, is_independent: bool = True) -> None:
        """Runs the functions with these values, and random ones for the other parameters."""
        values: dict[str, Any] = {}
        new: list[str] = []

        def answer(name: str, asked: Domain) -> Any:
            if name not in self.domains:
                self.domains[name] = asked
                new.append(name)
            check_alike(name, self.domains[name], asked)
            if name not in values:
                values[name] = given.get(name, asked.decode(self._fraction(name, asked)))
            return asked.resolve(values[name]) if isinstance(asked, Choice) else values[name]

        start = perf_counter()
        end = run_until_called(*self._functions, answer)
        self.seconds += perf_counter() - start if self._runs else 0.0
        self._runs.append(Run(values, end.error is None, is_independent))
        self._check_failures(end.error)
        if self.inputs is None:
            self.inputs = end.inputs
        for name in new:
            self._plan(name, values)

    def _condition(self, name: str) -> Condition | None:
        """The first condition that agrees with all runs so far."""
        return next(exact_conditions(name, self.domains, self._runs), None)

    def _fraction(self, name: str, domain: Domain) -> float:
        """A random position in [0, 1]; in long ranges often an end, since scripts test ``x > 0``.

        Every ``_CHECKS`` draws of a parameter are spread evenly over the interval.
        """
        if not (places := self._places[name]):
            places.extend((self._rng.permutation(_CHECKS) + self._rng.random(_CHECKS)) / _CHECKS)
        place = float(places.pop())
        if can_decide(domain) or isinstance(domain, Choice):
            return place
        return min(1.0, max(0.0, (place - _EXTREME) / (1 - 2 * _EXTREME)))

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
                "define_model and objective are run to find their parameters, but each of the "
                f"first {_MOST_FAILURES} runs raised an exception: {one_line(error)}"
            ) from error
