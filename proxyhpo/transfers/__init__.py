"""Transfers say how a hyperparameter changes with the width of the network.

The best learning rate of a narrow network is larger than that of the full one (muP,
arXiv:2203.03466), so a proxy that is trained with the full network's learning rate ranks configs
wrongly. A transfer gives an exponent a hyperparameter; a proxy of width ratio ``r`` is trained
with ``value * r**exponent``. At density 1 nothing changes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING

from proxyhpo.records import Config, History

if TYPE_CHECKING:
    from proxyhpo.space import Space

__all__ = ["Transfer", "transferred"]


class Transfer(ABC):
    """Gives the exponent with which each hyperparameter follows the width."""

    @abstractmethod
    def exponents(self, space: Space, history: History) -> Mapping[str, float]:
        """Hyperparameter name → exponent; what is not named does not change.

        Called once when a rung opens; the answer is frozen and stored. Only numbers
        (``Float``) can follow the width.
        """


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
