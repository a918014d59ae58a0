"""Transfers say how a hyperparameter changes with the width of the network.

The best learning rate of a narrow network is larger than that of the full one (muP,
arXiv:2203.03466), so a proxy that is trained with the full network's learning rate ranks configs
wrongly. A transfer gives an exponent a hyperparameter; a proxy of width ratio ``r`` is trained
with ``value * r**exponent``. At density 1 nothing changes.

Or a transfer leaves the config as it is, and scales the updates of each layer by what that layer
has lost: see :class:`~proxyhpo.transfers.LayerwiseTransfer`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from proxyhpo._records.fields import LARGEST_EXPONENT
from proxyhpo._records.history import History
from proxyhpo._records.records import Config
from proxyhpo._validation import check_number
from proxyhpo.errors import ArgumentError, unknown_name
from proxyhpo.space import Choice, Float
from proxyhpo.space._values import is_number
from proxyhpo.transfers._updates import UpdateRule

if TYPE_CHECKING:
    from proxyhpo.space import Space

__all__ = ["Transfer", "can_follow", "check_exponents", "transferred"]


class Transfer(ABC):
    """Gives the exponent with which each hyperparameter follows the width.

    One method has to be given, :meth:`exponents`. The others are for transfers that learn.
    """

    @abstractmethod
    def exponents(self, space: Space, history: History) -> Mapping[str, float]:
        """Hyperparameter name → exponent; what is not named does not change.

        Called once when a rung opens; the answer is frozen and stored. Only numbers can follow
        the width, see :func:`can_follow`.
        """

    def update_rule(self) -> UpdateRule | None:
        """What scales the updates of a proxy while it trains; None leaves them as they are.

        A rule is a function of an :class:`~proxyhpo.transfers.Update` (the parameter's name, the
        kept fractions of its fan-in and fan-out, the optimizer) that returns the factor by which
        the update is multiplied, or None for an optimizer that it does not know. It must be
        picklable for trainings in other processes. At density 1 it is not asked.
        """
        return None


def can_follow(given: Any) -> bool:
    """Whether a hyperparameter or constant of a space can follow the width.

    A transferred value need not lie in the space, so a list of numbers can, as well as a range; an
    ``Int`` cannot, since whole numbers would not stay whole.

    >>> [can_follow(given) for given in (Float(0, 1), Choice([0.1, 0.01]), 0.1)]
    [True, True, True]
    >>> [can_follow(given) for given in (Choice([0.1, None]), Choice({"low": 0.1}), True)]
    [False, False, False]
    """
    if isinstance(given, Choice):  # the values of a labelled one are its labels
        return all(map(is_number, given.values))
    return isinstance(given, Float) or is_number(given)


def check_exponents(who: str, exponents: object, space: Space) -> dict[str, float]:
    """The same exponents, if they are finite numbers for what can follow the width.

    Args:
        who: gave them; its class, for messages.
        exponents: hyperparameter name → exponent.
        space: that holds the hyperparameters.

    Raises:
        TypeError: for anything else than a mapping.
        UnknownNameError: if one names a hyperparameter that the space has not.
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
                f"width, it is {space[name]!r}"
            )
    return {name: float(number) for name, number in exponents.items()}


def transferred(config: Config, exponents: Mapping[str, float], width_ratio: float) -> Config:
    """The config that a proxy of this width ratio is trained with.

    Never clamped to the space, since the proxy's best may lie outside it. Inactive
    hyperparameters stay absent.

    >>> transferred({"lr": 0.1, "momentum": 0.9}, {"lr": -0.5}, 0.25)
    {'lr': 0.2, 'momentum': 0.9}
    """
    return {
        name: value * width_ratio ** exponents[name] if exponents.get(name) else value
        for name, value in config.items()
    }
