"""The interface of searchers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np

from proxyhpo._records.history import History
from proxyhpo._records.records import Config, config_key

if TYPE_CHECKING:
    from proxyhpo.space import Space

__all__ = ["Searcher", "check_proposals"]


class Searcher(ABC):
    """Proposes configs, given what is known so far."""

    @abstractmethod
    def propose(
        self, space: Space, history: History, n: int, *, rng: np.random.Generator
    ) -> list[Config]:
        """At most ``n`` configs to try next.

        Args:
            space: where configs come from.
            history: what is known so far; read-only. Only the order of trial numbers matters, not
                the order in which they ended.
            n: number of configs to propose, >= 1.
            rng: the only source of randomness; equal history and generator state give equal
                proposals.

        Returns:
            ``n`` valid and distinct configs of plain Python values that are new (``not
            history.has(config)``) while the space has any left. Fewer than ``n``, or none, only if
            the searcher has nothing more to propose (an exhausted grid).
        """

    def n_left(self, space: Space, history: History) -> float:
        """How many new configs it can still propose, at least; infinite without a limit.

        By default these are the configs of the space that are not in the history. The number is
        used to advise how far a search can go on.

        Args:
            space: of the configs.
            history: as for :meth:`propose`.
        """
        return space.size - len({config_key(trial.config) for trial in history.trials})


def check_proposals(searcher: Searcher, proposed: object) -> list[Any]:
    """Checks that proposals are a list; the space checks each config.

    Raises:
        TypeError: names the searcher's class.
    """
    if not isinstance(proposed, list):
        raise TypeError(
            f"{type(searcher).__name__}.propose must return a list of configs, "
            f"got {proposed!r:.200}"
        )
    return proposed
