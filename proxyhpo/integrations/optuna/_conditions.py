"""Finds the conditions of parameters: for which values of another one they are suggested."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from proxyhpo.integrations.optuna._trial import Domain
from proxyhpo.space import Float

__all__ = [
    "N_CONFIRMING",
    "Condition",
    "Run",
    "can_decide",
    "exact_conditions",
    "times_tried",
    "with_conditions",
]

_MOST_VALUES = 10
"""A parameter with more values is not expected to decide which others are suggested."""

N_CONFIRMING = 6
"""Independent runs with each value of a parameter before a condition on it is accepted."""

Condition: TypeAlias = tuple[str, tuple[Any, ...]]
"""A parameter, and the values with which another one is suggested."""


@dataclass(frozen=True)
class Run:
    """What one run of the user's functions suggested.

    Args:
        values: name → value, in the order of the suggestions; labels instead of objects.
        is_whole: whether it reached the training; False if an exception ended it earlier.
        is_independent: whether its values do not depend on those of earlier runs.
    """

    values: Mapping[str, Any]
    is_whole: bool = True
    is_independent: bool = True


def can_decide(domain: Domain) -> bool:
    """Whether a parameter may decide which others are suggested: few choices, or whole numbers.

    >>> from proxyhpo import Choice, Int
    >>> can_decide(Choice(["adam", "sgd"])), can_decide(Int(1, 3)), can_decide(Int(16, 256))
    (True, True, False)
    """
    return not isinstance(domain, Float) and 1 < len(domain.values) <= _MOST_VALUES


def with_conditions(domains: Mapping[str, Domain], runs: Sequence[Run]) -> dict[str, Domain]:
    """The same parameters with ``when=``, for those whose condition the runs confirm.

    A condition of a space names one other parameter and some of its values. It is accepted if it
    agrees exactly with all runs, and if enough independent runs had each value of that other
    parameter. A few runs are not enough, because an unrelated parameter may agree with them by
    coincidence. All other parameters are part of every config, even if they depend on several
    parameters or on a range. Some configs then have a parameter that their training does not use.

    Args:
        domains: name → definition, in the order in which they were first suggested.
        runs: the runs so far.

    >>> from proxyhpo import Float, Int
    >>> runs = 6 * [Run({"n_layers": 1}), Run({"n_layers": 2, "dropout": 0.2})]
    >>> with_conditions({"n_layers": Int(1, 2), "dropout": Float(0, 0.5)}, runs)["dropout"]
    Float(0.0, 0.5, when=('n_layers', (2,)))
    """
    tried = times_tried(runs)
    confirmed = {
        parent
        for parent, domain in domains.items()
        if can_decide(domain)
        and all(tried[parent, type(v), v] >= N_CONFIRMING for v in domain.values or ())
    }
    return {
        name: replace(
            domain,
            when=next(
                (c for c in exact_conditions(name, domains, runs) if c[0] in confirmed), None
            ),
        )
        for name, domain in domains.items()
    }


def times_tried(runs: Sequence[Run]) -> Counter[tuple[str, type, Any]]:
    """In how many independent runs each parameter had each value; types tell True from 1."""
    return Counter(
        (name, type(value), value)
        for run in runs
        if run.is_independent
        for name, value in run.values.items()
    )


def exact_conditions(
    name: str, domains: Mapping[str, Domain], runs: Sequence[Run]
) -> Iterator[Condition]:
    """The conditions on an earlier parameter that agree with every run, confirmed or not.

    A run that ended with an exception says nothing about the parameters that it did not reach.
    """
    for parent, domain in domains.items():
        if parent == name:
            return
        if can_decide(domain) and (values := _exact(name, parent, domain, runs)):
            yield parent, values


def _exact(name: str, parent: str, domain: Domain, runs: Sequence[Run]) -> tuple[Any, ...]:
    """The parent's values for which it is suggested; empty if the parent does not decide that."""
    suggested, missing = set(), set()
    for run in runs:
        is_suggested = name in run.values
        if parent in run.values:
            value = run.values[parent]
            if is_suggested:
                suggested.add((type(value), value))
            elif run.is_whole:
                missing.add((type(value), value))
        elif is_suggested:
            return ()
    if not missing or suggested & missing:
        return ()
    return tuple(v for v in domain.values or () if (type(v), v) in suggested)
