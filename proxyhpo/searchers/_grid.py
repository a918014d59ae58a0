"""Grid search: every combination of a few values of each hyperparameter, in a shuffled order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, final

import numpy as np
from typing_extensions import override

from proxyhpo._records.history import History
from proxyhpo._records.records import Config
from proxyhpo._validation import check_whole, suggesting
from proxyhpo.errors import ArgumentError, ConfigError, unknown_name
from proxyhpo.searchers._interface import Searcher
from proxyhpo.space._choice import Choice
from proxyhpo.space._lattice import Lattice, shuffled
from proxyhpo.space._values import python_value

if TYPE_CHECKING:
    from proxyhpo.space import Space
    from proxyhpo.space._hyperparameter import Hyperparameter

__all__ = ["GridSearcher"]


@final
class GridSearcher(Searcher):
    """Tries a shuffled grid once, then has nothing more to propose.

    The order is a permutation that only depends on the grid and ``seed``, so an interrupted search
    has still covered every axis evenly. It is computed and not stored, so a grid may have any size.

    Args:
        points: number of values on a continuous axis, evenly spaced (on the axis's scale) and
            including both bounds; the centre if 1. An axis of whole numbers or steps has all its
            values, but at most this many; a choice has all its options. A condition on a number
            only holds if the grid contains that number.
        values: hyperparameter name → the values to use instead, in terms of the full network.
        seed: of the order.

    Raises:
        ArgumentError: for ``points`` below 1 or a ``seed`` below 0; at the first proposal, for
            ``values`` that do not fit the space.
    """

    @suggesting
    def __init__(
        self,
        *,
        points: int = 5,
        values: Mapping[str, Sequence[Any]] | None = None,
        seed: int = 0,
    ) -> None:
        self.points = check_whole("points", points, 1)
        self.values = {name: _plain_list(name, axis) for name, axis in (values or {}).items()}
        self.seed = check_whole("seed", seed, 0)

    @override
    def propose(
        self, space: Space, history: History, n: int, *, rng: np.random.Generator
    ) -> list[Config]:
        walk = self._walk(self._lattice(space), start=len(history.trials))
        return list(islice((config for config in walk if not history.has(config)), n))

    @override
    def n_left(self, space: Space, history: History) -> float:
        lattice = self._lattice(space)
        if lattice.size > len(history.trials):
            return lattice.size - len(history.trials)
        # Some trials may lie outside of the grid.
        return sum(not history.has(config) for config in self._walk(lattice, start=0))

    def _walk(self, lattice: Lattice, start: int) -> Iterator[Config]:
        """The whole grid in its shuffled order, starting at the position of the next trial.

        Trials from outside the grid shift the start. The configs that this skips come last.
        """
        for step in range(lattice.size):
            position = (start + step) % lattice.size
            yield lattice[shuffled(position, lattice.size, seed=self.seed)]

    def _lattice(self, space: Space) -> Lattice:
        for name in self.values:
            if name not in space.names:
                raise unknown_name("hyperparameter in values of the grid", name, space.names)
        return Lattice(space, {name: self._axis(name, space[name]) for name in space.names})

    def _axis(self, name: str, hyperparameter: Hyperparameter) -> Sequence[Any]:
        if name in self.values:
            return _given_axis(name, hyperparameter, self.values[name])
        values = hyperparameter.values
        every = isinstance(hyperparameter, Choice)
        if values is not None and (every or len(values) <= self.points):
            return values
        fractions = np.linspace(0, 1, self.points) if self.points > 1 else np.array([0.5])
        return _distinct(map(hyperparameter.decode, fractions.tolist()))


def _plain_list(name: str, given: object) -> list[Any]:
    if not isinstance(given, (list, tuple, range, np.ndarray)) or not len(given):
        raise ArgumentError(f"values: {name!r} must be a list of at least one value, got {given!r}")
    return [python_value(value) for value in given]


def _given_axis(name: str, hyperparameter: Hyperparameter, given: Sequence[Any]) -> Sequence[Any]:
    try:
        return _distinct(map(hyperparameter.canonical, given))
    except ConfigError as error:
        raise ConfigError(f"values of the grid: {name!r} {error}") from None


def _distinct(values: Iterable[Any]) -> list[Any]:
    return list({(type(value), value): value for value in values}.values())
