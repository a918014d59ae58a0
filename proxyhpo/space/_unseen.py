"""Configs that have not been tried yet."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, final

import numpy as np
import numpy.typing as npt

from proxyhpo._records.history import History
from proxyhpo._records.records import Config, config_key
from proxyhpo.space._lattice import Lattice, shuffled

if TYPE_CHECKING:
    from proxyhpo.space import Space

__all__ = ["Unseen"]

_DRAWS = 30  # draws without a new config after which a finite space is enumerated
_DRAWS_IF_INFINITE = 10_000  # draws before giving up; finds a branch of probability 0.001
_DRAWS_NEARBY = 10  # draws for each number of changed coordinates
_ASKS = 3  # proposals of a model that are not new, before one is modified


@final
class Unseen:
    """The configs of a space that are new: neither in the history nor taken from here before.

    Args:
        space: where configs come from.
        history: the configs that have been tried or are running.
        rng: for the draws.
    """

    def __init__(self, space: Space, history: History, rng: np.random.Generator) -> None:
        self._space = space
        self._history = history
        self._rng = rng
        self._taken: set[str] = set()

    def __contains__(self, config: Config) -> bool:
        return config_key(config) not in self._taken and not self._history.has(config)

    def take(self, config: Config) -> Config:
        """Marks a config as no longer new, and returns it."""
        self._taken.add(config_key(config))
        return config

    def asked(self, ask: Callable[[], npt.NDArray[np.float64]]) -> Config | None:
        """A new config at or near a point that a model proposes; None if the space is exhausted.

        Args:
            ask: returns the model's next proposal, a point of the unit cube; called a few times.
        """
        for _ in range(_ASKS):
            point = ask()
            config = self._space.decode(point)
            if config in self:
                return config
        return self.near(point)

    def near(self, point: npt.NDArray[np.float64]) -> Config | None:
        """A new config that differs from a point of the unit cube in as few axes as possible.

        None if the space is exhausted.
        """
        n_axes = len(self._space.names)
        for n_changed in range(1, n_axes + 1):
            for _ in range(_DRAWS_NEARBY):
                axes = self._rng.choice(n_axes, n_changed, replace=False)
                moved = point.copy()
                moved[axes] = self._rng.random(n_changed)
                config = self._space.decode(moved)
                if config in self:
                    return config
        return next(self.draws(), None)

    def draws(self) -> Iterator[Config]:
        """New configs drawn from the unit cube, each marked as taken, until none is left."""
        is_finite = self._space.size < math.inf
        n_failed = 0
        while n_failed < (_DRAWS if is_finite else _DRAWS_IF_INFINITE):
            config = self._space.sample(self._rng)
            n_failed += 1
            if config in self:
                n_failed = 0
                yield self.take(config)
        if is_finite:
            yield from map(self.take, self.all())

    def all(self) -> Iterator[Config]:
        """All new configs of a finite space, in a shuffled order."""
        lattice = Lattice(self._space)
        seed = int(self._rng.integers(2**63))
        for position in range(lattice.size):
            config = lattice[shuffled(position, lattice.size, seed=seed)]
            if config in self:
                yield config
