"""Settings of transfers of learning rates: how these are named, and how exponents are given."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from proxyhpo._validation import check_number
from proxyhpo.transfers._exponents import can_follow

if TYPE_CHECKING:
    from proxyhpo.space import Space

__all__ = ["exponents_by_name", "is_learning_rate", "learning_rates", "why_none"]

# The name must end with it: `lr_decay` or `lr_warmup` are not learning rates.
_LEARNING_RATE = re.compile(r"(?:.*[\W_])?(?:lr|learning[\W_]?rate)", re.IGNORECASE)
# `log_lr`, `log10_lr`: a multiple of the logarithm would not be a multiple of the rate.
_LOGARITHM = re.compile(r"log\d*[\W_]", re.IGNORECASE)


def is_learning_rate(name: str) -> bool:
    """Whether a hyperparameter is named as a learning rate.

    >>> [name for name in ["lr", "head_lr", "learning_rate", "optim.lr"] if is_learning_rate(name)]
    ['lr', 'head_lr', 'learning_rate', 'optim.lr']
    >>> [name for name in ["lr_decay", "log_lr", "clr", "momentum"] if is_learning_rate(name)]
    []
    """
    return bool(_LEARNING_RATE.fullmatch(name)) and not _LOGARITHM.match(name)


def learning_rates(space: Space) -> list[str]:
    """The names of all learning rates of a space that can follow the width."""
    return [name for name, given in space.items() if is_learning_rate(name) and can_follow(given)]


def why_none(space: Space) -> tuple[str, str]:
    """Why a space has no learning rate that can follow the width, and what to do."""
    if rigid := [name for name in space if is_learning_rate(name)]:
        why = f"{rigid} is not numeric"
        return why, "make it a Float, a Choice of numbers or a number"
    return "none is named lr or ..._lr", 'name yours in PowerLawTransfer({"name": -0.5})'


def exponents_by_name(who: str, exponents: object) -> dict[str, float]:
    """A copy of the exponents that a user gave by name; None gives none.

    Args:
        who: the class that they were given to, for messages.
        exponents: hyperparameter name → exponent.

    Raises:
        TypeError: if they do not map names to finite numbers.
    """
    if exponents is not None and not isinstance(exponents, Mapping):
        raise TypeError(
            f"{who}: exponents must be a mapping of names to numbers, such as "
            f'{{"lr": -0.5}}, got {exponents!r}'
        )
    return {
        str(name): check_number(f"{who}: the exponent of {name!r}", number)
        for name, number in (exponents or {}).items()
    }
