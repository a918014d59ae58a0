"""The interface of searchers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np

from proxyhpo._records.history import History
from proxyhpo._records.records import Config

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
            history: what is known so far; read, never changed. Only trials ordered by number
                matter, not the order in which they ended.
            n: how many are wanted, >= 1.
            rng: the only source of randomness; equal history and generator state give equal
                proposals.

        Returns:
            ``n`` valid configs of plain Python values, new ones (``not history.has(config)``)
            and distinct while the space has any left. Fewer than ``n``, or none, only if the
            searcher has nothing more to propose (a grid that is used up).
        """


def check_proposals(searcher: Searcher, proposed: object) -> list[Any]:
    """The same proposals, if they are a list; whether each is a config, the space tells.

    Raises:
        TypeError: naming the searcher's class, for anything else.
    """
    if not isinstance(proposed, list):
        raise TypeError(
            f"{type(searcher).__name__}.propose must return a list of configs, "
            f"it returned {proposed!r:.200}"
        )
    return proposed
