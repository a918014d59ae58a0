"""Converts Optuna's distributions to hyperparameters of a space, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from proxyhpo.errors import SpaceError
from proxyhpo.space import Choice, Float, Int
from proxyhpo.space._values import is_plain, python_value

__all__ = ["are_alike", "choice_of", "distribution_of", "number_of"]


def distribution_of(given: Any) -> BaseDistribution:
    """The distribution of a ``Float``, ``Int`` or ``Choice``; objects appear as their labels."""
    if isinstance(given, Choice):
        return CategoricalDistribution(given.values)
    if isinstance(given, Int):
        return IntDistribution(given.low, given.high, log=given.log, step=given.step or 1)
    return FloatDistribution(given.low, given.high, log=given.log, step=given.step)


def number_of(given: FloatDistribution | IntDistribution) -> Float | Int:
    """The hyperparameter of a range.

    >>> number_of(IntDistribution(16, 64, step=16))
    Int(16, 64, step=16)
    """
    if isinstance(given, IntDistribution):
        # Optuna's step is 1 if there is none, also on a log scale.
        return Int(given.low, given.high, log=given.log, step=None if given.log else given.step)
    return Float(given.low, given.high, log=given.log, step=given.step)


def choice_of(options: Sequence[Any]) -> Choice:
    """The hyperparameter of a list of options; objects are labelled with their names.

    Raises:
        SpaceError: if two options have the same name, or one has none.

    >>> choice_of(["adam", "sgd"])
    Choice(('adam', 'sgd'))
    >>> choice_of([(64,), (64, 32), max]).values
    ('(64,)', '(64, 32)', 'max')
    """
    if all(is_plain(python_value(option)) for option in options):
        return Choice(list(options))
    labels = [getattr(option, "__name__", None) or str(option) for option in options]
    if len(set(labels)) < len(labels) or any(" at 0x" in label for label in labels):
        raise SpaceError(
            f"objects must have different names, got {', '.join(labels)}: suggest one of several "
            "strings instead, and look the object up in a dict"
        )
    return Choice(dict(zip(labels, options, strict=True)))


def are_alike(one: Float | Int | Choice, other: Float | Int | Choice) -> bool:
    """Whether they have the same bounds or options; conditions are not compared.

    >>> are_alike(Int(1, 8), Int(1, 8, when=("kind", "b"))), are_alike(Int(1, 8), Int(1, 9))
    (True, False)
    """
    return {**one.to_json(), "when": None} == {**other.to_json(), "when": None}
