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
from typing import TYPE_CHECKING

from proxyhpo._records.history import History
from proxyhpo.transfers._updates import UpdateRule

if TYPE_CHECKING:
    from proxyhpo.space import Space

__all__ = ["Transfer"]


class Transfer(ABC):
    """Gives the exponent with which each hyperparameter follows the width.

    One method has to be given, :meth:`exponents`. The others are for transfers that learn.
    """

    @abstractmethod
    def exponents(self, space: Space, history: History) -> Mapping[str, float]:
        """Hyperparameter name → exponent; what is not named does not change.

        Called once when a rung opens; the answer is frozen and stored. Only numbers can follow
        the width: a ``Float``, a ``Choice`` of numbers, or a number.
        """

    def update_rule(self) -> UpdateRule | None:
        """What scales the updates of a proxy while it trains; None leaves them as they are.

        A rule is a function of an :class:`~proxyhpo.transfers.Update` (the parameter's name, the
        kept fractions of its fan-in and fan-out, the optimizer) that returns the factor by which
        the update is multiplied, or None for an optimizer that it does not know. It must be
        picklable for trainings in other processes. At density 1 it is not asked.
        """
        return None
