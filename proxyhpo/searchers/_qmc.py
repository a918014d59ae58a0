"""Quasi-random search: points that fill the space more evenly than random ones."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice
from typing import TYPE_CHECKING, final

import numpy as np
from typing_extensions import override

from proxyhpo._records.history import History
from proxyhpo._records.records import Config
from proxyhpo._validation import check_whole, suggesting
from proxyhpo.searchers._interface import Searcher
from proxyhpo.space._unseen import Unseen

if TYPE_CHECKING:
    from proxyhpo.space import Space

__all__ = ["QMCSearcher"]

_REPEATS = 100  # known points in a row after which the rest is drawn at random


@final
class QMCSearcher(Searcher):
    """The points of a scrambled Sobol sequence, in order (Bergstra and Bengio, 2012, section 4).

    Like random search it does not learn, and its trials are independent of each other. They leave
    no large gaps, best after 2, 4, 8, ... trials. A finite space is searched without repeats.

    Args:
        seed: scrambles the sequence; trial number ``i`` gets its ``i``-th point, whatever the seed
            of the study.

    Raises:
        ArgumentError: for a negative seed.
    """

    @suggesting
    def __init__(self, *, seed: int = 0) -> None:
        self.seed = check_whole("seed", seed, 0)

    @override
    def propose(
        self, space: Space, history: History, n: int, *, rng: np.random.Generator
    ) -> list[Config]:
        unseen = Unseen(space, history, rng)
        points = self._new_points(space, unseen, len(history.trials))
        return list(islice(chain(points, unseen.draws()), n))

    def _new_points(self, space: Space, unseen: Unseen, start: int) -> Iterator[Config]:
        from scipy.stats.qmc import Sobol  # noqa: PLC0415 - slow to import

        if not space.names:
            return
        sequence = Sobol(len(space.names), seed=self.seed)
        if start:
            sequence.fast_forward(start)
        repeats = 0
        while repeats < _REPEATS:
            config = space.decode(sequence.random()[0])
            repeats = 0 if config in unseen else repeats + 1
            if not repeats:
                yield unseen.take(config)
