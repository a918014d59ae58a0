"""Finite sets of configs, numbered and shuffled without being stored."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from hashlib import shake_128
from typing import TYPE_CHECKING, Any, final

from proxyhpo._records.records import Config
from proxyhpo.space._values import find

if TYPE_CHECKING:
    from proxyhpo.space import Space

__all__ = ["Lattice", "shuffled"]


@final
class Lattice:
    """All combinations of the given values as configs, by number.

    Inactive hyperparameters do not multiply the configs: each config occurs once.

    Args:
        space: where the configs come from.
        axes: searchable name → its values, valid and distinct. By default all values of all
            hyperparameters, that is every config of a finite space.

    >>> from proxyhpo.space import Choice, Int, Space
    >>> space = Space({"a": Choice(["x", "y"]), "b": Int(1, 9, when=("a", "y"))})
    >>> lattice = Lattice(space, {"a": ["x", "y"], "b": [3, 4]})
    >>> [lattice[number] for number in range(lattice.size)]
    [{'a': 'y', 'b': 3}, {'a': 'y', 'b': 4}, {'a': 'x'}]
    """

    def __init__(self, space: Space, axes: Mapping[str, Sequence[Any]] | None = None) -> None:
        self._space = space
        self._axes = {name: space[name].values for name in space.names} if axes is None else axes
        self._roots = [name for name in space.names if space.parent(name) not in space.names]
        # Per hyperparameter: index of a value → the hyperparameters that depend on it.
        self._branches: dict[str, dict[int, list[str]]] = {}
        self._counts: dict[str, int] = {}
        for name in reversed(space.names):  # dependants first
            self._branches[name] = self._dependants(name)
            self._counts[name] = self._count(name)
        self.size = math.prod(self._counts[name] for name in self._roots)

    def __getitem__(self, number: int) -> Config:
        if not 0 <= number < self.size:
            raise IndexError(number)
        values: Config = {}
        self._fill(self._roots, number, values)
        return self._space.validate(values)

    def _dependants(self, name: str) -> dict[int, list[str]]:
        found: dict[int, list[str]] = {}
        for child in self._space.names:
            if self._space.parent(child) == name:
                for value in self._space[child].when[1]:
                    index = find(self._axes[name], value)
                    if index is not None:
                        found.setdefault(index, []).append(child)
        return dict(sorted(found.items()))

    def _count(self, name: str) -> int:
        """The number of ways to set this hyperparameter and all that depend on it."""
        branches = self._branches[name]
        return len(self._axes[name]) - len(branches) + sum(map(self._product, branches.values()))

    def _product(self, names: Sequence[str]) -> int:
        return math.prod(self._counts[name] for name in names)

    def _fill(self, names: Sequence[str], number: int, values: Config) -> None:
        """Sets independent hyperparameters; each is one digit of the number."""
        for name in names:
            number, digit = divmod(number, self._counts[name])
            self._fill_one(name, digit, values)

    def _fill_one(self, name: str, number: int, values: Config) -> None:
        """Sets one hyperparameter: values with dependants come first, a block each."""
        for index, children in self._branches[name].items():
            block = self._product(children)
            if number < block:
                values[name] = self._axes[name][index]
                self._fill(children, number, values)
                return
            number -= block
        for index in self._branches[name]:
            number += index <= number
        values[name] = self._axes[name][number]


def shuffled(position: int, size: int, *, seed: int) -> int:
    """The position to which a pseudo-random permutation of ``range(size)`` maps ``position``.

    It is a Feistel network over the next power of four, iterated until the result is in the range
    (Black and Rogaway, "Ciphers with arbitrary finite domains", 2002). Time and memory do not grow
    with ``size``.

    >>> sorted(shuffled(position, 5, seed=0) for position in range(5))
    [0, 1, 2, 3, 4]
    """
    half = max(1, ((size - 1).bit_length() + 1) // 2)
    mask = (1 << half) - 1
    while True:
        left, right = position >> half, position & mask
        for turn in range(4):
            digest = shake_128(f"{seed} {turn} {right}".encode()).digest(half // 8 + 1)
            left, right = right, left ^ (int.from_bytes(digest, "big") & mask)
        position = left << half | right
        if position < size:
            return position
