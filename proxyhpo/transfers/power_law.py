"""The transfer that lets learning rates follow the width."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, final

from typing_extensions import override

from proxyhpo.transfers import Transfer, can_follow, check_exponents

if TYPE_CHECKING:
    from proxyhpo.records import History
    from proxyhpo.space import Space

__all__ = ["PowerLawTransfer", "is_learning_rate"]

# The name has to end so: `lr_decay` or `lr_warmup` are no learning rates.
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


@final
class PowerLawTransfer(Transfer):
    """Multiplies hyperparameters by a power of the width ratio.

    A proxy of width ratio ``r`` is trained with ``value * r**exponent``; a negative exponent gives
    narrow networks a larger value. By default every learning rate gets -0.5: between the 0 and -1
    that muP derives for vector-like and matrix-like parameters (Yang et al., "Tensor Programs V",
    arXiv:2203.03466), and near the -0.6 by which the best learning rate of HPOBench's
    multi-layer perceptrons falls with their width under Adam. A learning rate is what is *named*
    as one: ``lr``, ``learning_rate``, or a name that ends so (``head_lr``, ``optim.lr``).

    Args:
        exponents: hyperparameter name → its own exponent, beside and before those found by name;
            0 leaves it as it is. Each must be made of numbers in the space: a ``Float``, a
            ``Choice`` of numbers, or a constant; what a proxy is trained with need not be among
            them.
        exponent: of each hyperparameter that is named as a learning rate.

    Raises:
        TypeError: if the exponents are not finite numbers by name.

    >>> from proxyhpo.space import Choice, Float, Space
    >>> space = Space({"lr": Float(1e-4, 1, log=True), "momentum": Choice([0.0, 0.9])})
    >>> PowerLawTransfer().exponents(space, None)
    {'lr': -0.5}
    >>> PowerLawTransfer({"lr": -0.7}).exponents(space, None)
    {'lr': -0.7}
    """

    def __init__(
        self, exponents: Mapping[str, float] | None = None, *, exponent: float = -0.5
    ) -> None:
        if exponents is not None and not isinstance(exponents, Mapping):
            raise TypeError(
                "PowerLawTransfer: exponents must be a mapping of names to numbers, such as "
                f'{{"lr": -0.5}}, got {exponents!r}'
            )
        self.by_name = {
            str(name): _finite(f"the exponent of {name!r}", number)
            for name, number in (exponents or {}).items()
        }
        self.exponent = _finite("exponent", exponent)

    @override
    def exponents(self, space: Space, history: History) -> Mapping[str, float]:
        """The exponents given by name, and the default one for every other learning rate.

        Warns:
            UserWarning: if there is nothing to transfer, since an untransferred learning rate
                makes a proxy rank configs wrongly.

        Raises:
            UnknownNameError: if an exponent names a hyperparameter that the space has not.
            ArgumentError: if it names one that is not made of numbers.
        """
        named = check_exponents(type(self).__name__, self.by_name, space)
        rates = {
            name: self.exponent
            for name, given in space.items()
            if is_learning_rate(name) and can_follow(given)
        }
        exponents = rates | named
        if not exponents:
            _warn_of_nothing_to_transfer(space)
        return exponents

    def __repr__(self) -> str:
        return f"PowerLawTransfer({self.by_name}, exponent={self.exponent})"


def _finite(what: str, number: float) -> float:
    if (
        isinstance(number, bool)
        or not isinstance(number, (int, float))
        or not math.isfinite(number)
    ):
        raise TypeError(f"PowerLawTransfer: {what} must be a finite number, got {number!r}")
    return float(number)


def _warn_of_nothing_to_transfer(space: Space) -> None:
    why = "none is named lr or ..._lr"
    advice = 'say PowerLawTransfer({"name": -0.5}) for yours'
    if rigid := [name for name in space if is_learning_rate(name)]:
        why = f"{rigid} would have to be made of numbers"
        advice = "make it a Float, a Choice of numbers or a number"
    warnings.warn(
        f"no learning rate is transferred between widths: {why}. A proxy trained with the full "
        f'network\'s learning rate ranks configs wrongly; {advice}, or transfer="identity" if that '
        "is what you want",
        stacklevel=3,
    )
