"""Exponents of hyperparameters: which can have one, checking them, and applying them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from proxyhpo._records.fields import LARGEST_EXPONENT
from proxyhpo._records.records import Config
from proxyhpo._validation import check_number
from proxyhpo.errors import ArgumentError, unknown_name
from proxyhpo.space import Choice, Float
from proxyhpo.space._values import is_number

if TYPE_CHECKING:
    from proxyhpo.space import Space

__all__ = ["can_follow", "check_exponents", "transferred"]


def can_follow(given: Any) -> bool:
    """Whether a hyperparameter or constant of a space can follow the width.

    A transferred value need not lie in the space, so a list of numbers can follow it as well as a
    range. An ``Int`` cannot, since its values would not stay whole.

    >>> [can_follow(given) for given in (Float(0, 1), Choice([0.1, 0.01]), 0.1)]
    [True, True, True]
    >>> [can_follow(given) for given in (Choice([0.1, None]), Choice({"low": 0.1}), True)]
    [False, False, False]
    """
    if isinstance(given, Choice):  # the values of a labelled one are its labels
        return all(map(is_number, given.values))
    return isinstance(given, Float) or is_number(given)


def check_exponents(who: str, exponents: object, space: Space) -> dict[str, float]:
    """The same exponents, if they are finite numbers for hyperparameters that can follow the width.

    Args:
        who: the class that gave them, for messages.
        exponents: hyperparameter name → exponent.
        space: contains the hyperparameters.

    Raises:
        TypeError: if it is not a mapping.
        UnknownNameError: if one names a hyperparameter that the space does not have.
        ArgumentError: if an exponent is not a finite number or too large, or names a
            hyperparameter that is not made of numbers.
    """
    if not isinstance(exponents, Mapping):
        raise TypeError(
            f"{who}: exponents must be a mapping of names to numbers, such as "
            f'{{"lr": -0.5}}, got {exponents!r:.200}'
        )
    for name, given in exponents.items():
        number = check_number(f"{who}: the exponent of {name!r}", given)
        if abs(number) > LARGEST_EXPONENT:
            raise ArgumentError(
                f"{who}: the exponent of {name!r} must be between {-LARGEST_EXPONENT:g} and "
                f"{LARGEST_EXPONENT:g}, got {number!r}"
            )
        if name not in space:
            raise unknown_name(f"hyperparameter in the exponents of {who}:", name, space)
        if not can_follow(space[name]):
            raise ArgumentError(
                f"{who}: {name!r} must be a Float, a Choice of numbers or a number to follow the "
                f"width, got {space[name]!r}"
            )
    return {name: float(number) for name, number in exponents.items()}


def transferred(config: Config, exponents: Mapping[str, float], width_ratio: float) -> Config:
    """The config that a proxy of this width ratio is trained with.

    Values are not limited to the space, since the proxy's best may lie outside it. Inactive
    hyperparameters stay absent.

    >>> transferred({"lr": 0.1, "momentum": 0.9}, {"lr": -0.5}, 0.25)
    {'lr': 0.2, 'momentum': 0.9}
    """
    return {
        name: value * width_ratio ** exponents[name] if exponents.get(name) else value
        for name, value in config.items()
    }
