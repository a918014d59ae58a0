"""Random search: the baseline, and hard to beat when only few hyperparameters matter."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, final

import numpy as np
from typing_extensions import override

from proxyhpo._records.history import History
from proxyhpo._records.records import Config
from proxyhpo.searchers._interface import Searcher
from proxyhpo.space._unseen import Unseen

if TYPE_CHECKING:
    from proxyhpo.space import Space

__all__ = ["RandomSearcher"]


@final
class RandomSearcher(Searcher):
    """Independent draws from the unit cube, without repeats (Bergstra and Bengio, 2012).

    A finite space is searched without repeats; then there is nothing more to propose.
    """

    @override
    def propose(
        self, space: Space, history: History, n: int, *, rng: np.random.Generator
    ) -> list[Config]:
        return list(islice(Unseen(space, history, rng).draws(), n))
