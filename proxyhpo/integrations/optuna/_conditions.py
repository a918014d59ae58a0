"""Under which values of which other parameter each parameter is suggested, seen from some runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from proxyhpo.integrations.optuna._trial import Domain
from proxyhpo.space import Float
from proxyhpo.space._values import find

__all__ = ["Run", "can_decide", "with_conditions"]

_MOST_VALUES = 10
"""A parameter with more values is not expected to decide which others are suggested."""


@dataclass(frozen=True)
class Run:
    """What one run of the user's functions suggested.

    Args:
        values: name → value, in the order of the suggestions; labels instead of objects.
        is_whole: whether it came as far as a training; False if an exception ended it before.
    """

    values: Mapping[str, Any]
    is_whole: bool = True


def can_decide(domain: Domain) -> bool:
    """Whether a parameter may decide which others are suggested: few choices, or whole numbers.

    >>> from proxyhpo import Choice, Int
    >>> can_decide(Choice(["adam", "sgd"])), can_decide(Int(1, 3)), can_decide(Int(16, 256))
    (True, True, False)
    """
    return not isinstance(domain, Float) and 1 < len(domain.values) <= _MOST_VALUES


def with_conditions(domains: Mapping[str, Domain], runs: Sequence[Run]) -> dict[str, Domain]:
    """The same parameters with ``when=``, for those that were not suggested in every run.

    A condition of a space names one other parameter. It is chosen such that every run that
    suggested the parameter satisfies it, and as few others as possible. So a parameter that depends
    on several others is part of more configs than those whose trainings ask for it.

    Args:
        domains: name → definition, in the order in which they were first suggested.
        runs: what the runs suggested.

    >>> from proxyhpo import Float, Int
    >>> runs = [Run({"n_layers": 1}), Run({"n_layers": 2, "dropout": 0.2})]
    >>> with_conditions({"n_layers": Int(1, 2), "dropout": Float(0, 0.5)}, runs)["dropout"]
    Float(0.0, 0.5, when=('n_layers', (2,)))
    """
    names = list(domains)
    return {
        name: _with_condition(name, domain, {n: domains[n] for n in names[:place]}, runs)
        for place, (name, domain) in enumerate(domains.items())
    }


def _with_condition(
    name: str, domain: Domain, earlier: Mapping[str, Domain], runs: Iterable[Run]
) -> Domain:
    present = [run.values for run in runs if name in run.values]
    absent = [run.values for run in runs if name not in run.values and run.is_whole]
    best, fewest = None, len(absent)
    for parent, other in earlier.items():
        if not can_decide(other) or any(parent not in values for values in present):
            continue
        seen = [v for v in other.values or () if _has(present, parent, v)]
        n_wrong = sum(_has([values], parent, v) for values in absent for v in seen)
        if n_wrong < fewest:
            best, fewest = (parent, seen), n_wrong
    return replace(domain, when=best)


def _has(runs: Iterable[Mapping[str, Any]], name: str, value: Any) -> bool:
    return any(name in values and find([value], values[name]) is not None for values in runs)
