"""What a study is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from proxyhpo._proxy import NetworkFactory
from proxyhpo._records.rung import Rung
from proxyhpo.evaluators import Direction
from proxyhpo.searchers import Searcher
from proxyhpo.space import Space
from proxyhpo.transfers import Transfer

__all__ = ["Parts"]


@dataclass(frozen=True)
class Parts:
    """What a study is made of; none of it changes while it runs.

    ``controls`` is how many trials climb to the full network that were not picked for it,
    ``checkpoints`` whether trainings are given a folder to keep checkpoints in.
    """

    space: Space
    searcher: Searcher
    transfer: Transfer
    ladder: Sequence[Rung]
    networks: NetworkFactory
    direction: Direction
    seed: int
    controls: int = 0
    checkpoints: bool = False

    @property
    def top(self) -> int:
        """The index of the last rung, the full network."""
        return len(self.ladder) - 1

    def loss(self, value: float) -> float:
        """The value as the engine compares it: lower is better."""
        return value if self.direction == "minimize" else -value
