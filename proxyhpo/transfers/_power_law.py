"""The transfer that scales learning rates with the width."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, final

from typing_extensions import override

from proxyhpo._validation import check_number, suggesting
from proxyhpo.transfers._exponents import check_exponents
from proxyhpo.transfers._interface import Transfer
from proxyhpo.transfers._settings import exponents_by_name, learning_rates, why_none

if TYPE_CHECKING:
    from proxyhpo._records.history import History
    from proxyhpo.space import Space

__all__ = ["PowerLawTransfer"]


@final
class PowerLawTransfer(Transfer):
    """Multiplies hyperparameters by a power of the width ratio.

    A proxy of width ratio ``r`` is trained with ``value * r**exponent``; a negative exponent gives
    narrow networks a larger value. By default every learning rate gets -0.5. This lies between the
    0 and -1 that muP derives for vector-like and matrix-like parameters (Yang et al., "Tensor
    Programs V", arXiv:2203.03466), and near the -0.6 that fits the best learning rates of
    HPOBench's multi-layer perceptrons under Adam. Learning rates are recognized by name: ``lr``,
    ``learning_rate``, or a name that ends with one of them (``head_lr``, ``optim.lr``).

    Args:
        exponents: hyperparameter name → exponent, in addition to the learning rates and with
            precedence over them; 0 leaves a value unchanged. Each must be numeric in the space: a
            ``Float``, a ``Choice`` of numbers, or a constant. Transferred values need not be among
            the options.
        exponent: for each hyperparameter that is named as a learning rate.

    Raises:
        TypeError: if the exponents do not map names to finite numbers.

    >>> from proxyhpo.space import Choice, Float, Space
    >>> space = Space({"lr": Float(1e-4, 1, log=True), "momentum": Choice([0.0, 0.9])})
    >>> PowerLawTransfer().exponents(space, None)
    {'lr': -0.5}
    >>> PowerLawTransfer({"lr": -0.7}).exponents(space, None)
    {'lr': -0.7}
    """

    @suggesting
    def __init__(
        self, exponents: Mapping[str, float] | None = None, *, exponent: float = -0.5
    ) -> None:
        self.by_name = exponents_by_name("PowerLawTransfer", exponents)
        self.exponent = check_number("PowerLawTransfer: exponent", exponent)

    @override
    def exponents(self, space: Space, history: History) -> Mapping[str, float]:
        """The exponents given by name, and the default one for every other learning rate.

        Warns:
            UserWarning: if there is nothing to transfer, since an untransferred learning rate
                makes a proxy rank configs wrongly.

        Raises:
            UnknownNameError: if an exponent names a hyperparameter that the space does not have.
            ArgumentError: if it names one that is not numeric.
        """
        named = check_exponents(type(self).__name__, self.by_name, space)
        exponents = dict.fromkeys(learning_rates(space), self.exponent) | named
        if not exponents:
            _warn_of_nothing_to_transfer(space)
        return exponents

    def __repr__(self) -> str:
        return f"PowerLawTransfer({self.by_name}, exponent={self.exponent})"


def _warn_of_nothing_to_transfer(space: Space) -> None:
    why, advice = why_none(space)
    warnings.warn(
        f"no learning rate is transferred between widths: {why}. A proxy trained with the full "
        f'network\'s learning rate ranks configs wrongly; {advice}, or set transfer="identity" if '
        "that is intended",
        stacklevel=3,
    )
