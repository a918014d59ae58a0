"""The parts of a study."""

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
    """The parts of a study. They do not change while it runs.

    ``controls`` is the number of trials that reach the full network without having been selected.
    ``checkpoints`` says whether each training gets a folder for its checkpoints.
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
        """The value as the engine compares it; lower is better."""
        return value if self.direction == "minimize" else -value
