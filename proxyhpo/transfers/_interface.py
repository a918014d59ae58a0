"""The interface of transfers.

The best learning rate of a narrow network is larger than that of the full one (muP,
arXiv:2203.03466), so a proxy that is trained with the full network's learning rate ranks configs
wrongly. A transfer gives an exponent for each hyperparameter, and a proxy of width ratio ``r`` is
trained with ``value * r**exponent``. At density 1 nothing changes.

Alternatively, a transfer leaves the config unchanged and scales the updates of each layer by the
fraction of the layer that was kept: see :class:`~proxyhpo.transfers.LayerwiseTransfer`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING

from proxyhpo._records.history import History
from proxyhpo.transfers._updates import UpdateRule

if TYPE_CHECKING:
    from proxyhpo.space import Space

__all__ = ["Transfer"]


class Transfer(ABC):
    """Gives the exponent with which each hyperparameter follows the width.

    Only :meth:`exponents` is required.
    """

    @abstractmethod
    def exponents(self, space: Space, history: History) -> Mapping[str, float]:
        """Hyperparameter name → exponent. Hyperparameters that are not named do not change.

        Called once when a rung opens; the result is frozen and stored. Only numbers can follow the
        width: a ``Float``, a ``Choice`` of numbers, or a number.
        """

    def update_rule(self) -> UpdateRule | None:
        """A rule that scales the updates of a proxy while it trains; None leaves them unchanged.

        A rule is a function of an :class:`~proxyhpo.transfers.Update` (the parameter's name, the
        kept fractions of its fan-in and fan-out, the optimizer). It returns the factor by which the
        update is multiplied, or None for an optimizer that it does not know. It must be picklable
        for trainings in other processes. It is not called at density 1.
        """
        return None
