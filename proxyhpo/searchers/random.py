"""Random search: the baseline, and hard to beat when only few hyperparameters matter."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, final

import numpy as np
from typing_extensions import override

from proxyhpo.records import Config, History, config_key
from proxyhpo.searchers import Searcher
from proxyhpo.space.lattice import Lattice, shuffled

if TYPE_CHECKING:
    from proxyhpo.space import Space

__all__ = ["RandomSearcher"]

_DRAWS = 30  # without a new config, before a finite space is walked through
_DRAWS_IF_INFINITE = 10_000  # before giving up: enough for a branch taken once in a thousand draws


@final
class RandomSearcher(Searcher):
    """Independent draws from the unit cube, without repeats (Bergstra and Bengio, 2012).

    A finite space is used up to its last config; then there is nothing more to propose.
    """

    @override
    def propose(
        self, space: Space, history: History, n: int, *, rng: np.random.Generator
    ) -> list[Config]:
        return list(islice(_new_configs(space, history, rng), n))


def _new_configs(space: Space, history: History, rng: np.random.Generator) -> Iterator[Config]:
    """Distinct configs that the history does not have, until there are no more."""
    seen: set[str] = set()

    def is_new(config: Config) -> bool:
        key = config_key(config)
        new = key not in seen and not history.has(config)
        seen.add(key)
        return new

    finite = space.size < math.inf
    draws = 0
    while draws < (_DRAWS if finite else _DRAWS_IF_INFINITE):
        config = space.sample(rng)
        draws += 1
        if is_new(config):
            draws = 0
            yield config
    if finite:
        yield from filter(is_new, _all_configs(space, int(rng.integers(2**63))))


def _all_configs(space: Space, seed: int) -> Iterator[Config]:
    lattice = Lattice(space)
    for position in range(lattice.size):
        yield lattice[shuffled(position, lattice.size, seed=seed)]
