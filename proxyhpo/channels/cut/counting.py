"""How many classes of each group are kept.

A square weight stays square: the heads of an attention layer together are as wide as its output,
and code relies on that. Groups that meet in a square weight therefore keep the same share of their
classes; they form one :class:`_Bundle`. A square weight that would force a bundle far from the
requested density is ignored. Running the smaller network then shows whether the code required it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from proxyhpo.channels.find.groups import Group, groups_of
from proxyhpo.channels.find.trace import Trace

__all__ = ["counts", "shares"]


def counts(found: Trace, density: float, round_to: int) -> list[tuple[Group, range]]:
    """How many classes of each group are kept, as a range; only groups that become smaller.

    Args:
        found: the trace of the full network.
        density: the share of its classes that each group keeps, in (0, 1].
        round_to: the number of classes is rounded down to a multiple of this, if it is not smaller.
    """
    groups = groups_of(found)
    sizes = [group.n for group in groups]
    kept = shares(sizes, _squares(groups, found), density, round_to)
    return [(g, range(count)) for g, count in zip(groups, kept, strict=True) if count < g.n]


def shares(
    sizes: Sequence[int], squares: Iterable[Sequence[int]], density: float, round_to: int
) -> list[int]:
    """The number of classes that each group keeps.

    Args:
        sizes: how many classes each group has.
        squares: indices of groups that should keep the same share, the most important first.
        density: the requested share.
        round_to: see :func:`counts`.

    >>> shares([1, 6, 24, 30, 64, 100], [], 0.5, 8)
    [1, 3, 8, 8, 32, 48]
    >>> shares([192, 64], [(0, 1)], 0.3, 8)  # three heads of 64
    [48, 16]
    """
    bundles = {place: _Bundle((place,), (size,)) for place, size in enumerate(sizes)}
    for square in squares:
        parts = list({id(bundles[place]): bundles[place] for place in square}.values())
        joined = _Bundle.of(parts)
        if joined.holds(density, parts):
            bundles.update(dict.fromkeys(joined.places, joined))
    kept = {place: n for b in bundles.values() for place, n in b.kept(density, round_to).items()}
    return [kept[place] for place in range(len(sizes))]


@dataclass(frozen=True)
class _Bundle:
    """Groups that keep the same share of their classes.

    Args:
        places: indices of the groups.
        sizes: how many classes each has.
    """

    places: tuple[int, ...]
    sizes: tuple[int, ...]

    @classmethod
    def of(cls, parts: Sequence[_Bundle]) -> _Bundle:
        """Combines several bundles into one."""
        return cls(
            tuple(place for part in parts for place in part.places),
            tuple(size for part in parts for size in part.sizes),
        )

    @property
    def steps(self) -> int:
        """The share must be a multiple of 1 / steps, so that each count is a whole number."""
        return math.gcd(*self.sizes)

    def _asked(self, density: float) -> int:
        return max(1, round(self.steps * density))

    def _factor(self, density: float) -> float:
        """The ratio of the nearest possible share and the density, as a factor of at least 1."""
        share = self._asked(density) / self.steps
        return max(share / density, density / share)

    def holds(self, density: float, parts: Sequence[_Bundle]) -> bool:
        """Whether the share is near the density, or as near as that of the separate parts."""
        factor = self._factor(density)
        return factor < _ROUNDING or factor <= max(part._factor(density) for part in parts)  # noqa: SLF001 - its own class

    def kept(self, density: float, round_to: int) -> dict[int, int]:
        """The number of classes that each group keeps.

        The share is rounded down until all groups have a multiple of ``round_to`` classes, except
        groups with fewer classes than that. It decreases by an eighth at most. If that is not
        possible, it is rounded down until the largest group has such a multiple, by half at most.
        """
        asked = self._asked(density)
        for sizes, least in ((self.sizes, asked - asked // 8), ([max(self.sizes)], asked / 2)):
            for step in range(asked, 0, -1):
                if step >= least and self._even(sizes, step, round_to):
                    return self._counts(step)
        return self._counts(asked)

    def _even(self, sizes: Sequence[int], step: int, round_to: int) -> bool:
        widths = [size * step // self.steps for size in sizes]
        return all(width % round_to == 0 for width in widths if width >= round_to)

    def _counts(self, step: int) -> dict[int, int]:
        sizes = zip(self.places, self.sizes, strict=True)
        return {place: size * step // self.steps for place, size in sizes}


_ROUNDING = 2.0
"""A share that differs from the density by at most this factor is attributed to rounding."""


def _squares(groups: Sequence[Group], found: Trace) -> list[tuple[int, ...]]:
    """The groups on both sides of each square weight, most frequent pairs first."""
    covering: dict[tuple[str, int], list[int]] = {}
    covered: Counter[tuple[str, int]] = Counter()
    for place, group in enumerate(groups):
        for key, positions in group.positions.items():
            covering.setdefault(key, []).append(place)
            covered[key] += positions.size
    squares: Counter[tuple[int, ...]] = Counter()
    for name, dims in found.owned.items():
        if len(dims) == 2 and dims[0].size == dims[1].size:
            both = [(name, 0), (name, 1)]
            if all(covered[key] == dims[key[1]].size for key in both):
                squares[tuple(sorted({p for key in both for p in covering[key]}))] += 1
    return [square for square, _ in squares.most_common() if len(square) > 1]
