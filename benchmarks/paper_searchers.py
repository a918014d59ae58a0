"""CMA-ES, the third search method of the paper's public code, as a searcher."""

from __future__ import annotations

from typing import final

import numpy as np
from cmaes import CMA
from typing_extensions import override

from proxyhpo import Config, History
from proxyhpo.searchers import Searcher
from proxyhpo.space import Space

__all__ = ["CmaEsSearcher"]


@final
class CmaEsSearcher(Searcher):
    """Covariance matrix adaptation (Hansen & Ostermeier, 2001) in the unit cube of the space.

    The evolution is replayed from the history at each proposal: every complete generation moves
    the distribution that the next configs are drawn from.

    Args:
        sigma: initial standard deviation, in units of the cube's side.
    """

    def __init__(self, sigma: float = 0.3) -> None:
        self.sigma = sigma

    @override
    def propose(
        self, space: Space, history: History, n: int, *, rng: np.random.Generator
    ) -> list[Config]:
        size = len(space.encode(space.center()))
        evolution = CMA(
            mean=np.full(size, 0.5),
            sigma=self.sigma,
            bounds=np.tile([0.0, 1.0], (size, 1)),
            seed=int(rng.integers(2**31)),
        )
        observed = history.observed()
        generation = evolution.population_size
        for start in range(0, len(observed) - generation + 1, generation):
            told = observed[start : start + generation]
            evolution.tell([(space.encode(config), loss) for config, loss in told])
        return [space.decode(evolution.ask()) for _ in range(n)]
