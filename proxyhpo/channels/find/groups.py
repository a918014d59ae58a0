"""Groups of channels: classes of labels that occur in the same dimensions of the same tensors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from proxyhpo.channels.find.labels import INSIDE
from proxyhpo.channels.find.trace import Trace

__all__ = ["Group", "Key", "groups_of", "protected_of"]

Key = tuple[str, int]
"""The name of a tensor, and one of its dimensions."""


@dataclass(frozen=True, eq=False)
class Group:
    """Classes of channels. Any of them may be removed as long as at least one is kept.

    Args:
        positions: tensor and dimension → the indices of each class there, of shape
            (n, indices per class).
        rewired: whether the classes are equal parts of a single class that fills its dimensions, as
            repeated channel shuffles produce. Any part may be removed, but the kept channels then
            meet other weights than before, as in a network that was built narrow.
    """

    positions: Mapping[Key, npt.NDArray[np.int64]]
    rewired: bool = False

    @property
    def n(self) -> int:
        """The number of classes."""
        return len(next(iter(self.positions.values())))

    @property
    def names(self) -> list[str]:
        """The tensors that become smaller when a class is removed, in the network's order."""
        return list(dict.fromkeys(name for name, _ in self.positions))

    def __repr__(self) -> str:
        return f"Group({self.n} classes of {', '.join(self.names)})"


def groups_of(found: Trace) -> list[Group]:
    """All groups of a trace, in the order of the network's tensors.

    A class with a single index is omitted: it is a position that the example inputs did not use,
    not a channel that connects layers.
    """
    labels = found.labels
    dims = {
        (name, axis): dim
        for name, own in found.owned.items()
        for axis, dim in enumerate(own)
        if dim.size > 1
    }
    origins, everything = labels.origins(), labels.all()
    keys = {origins[dim[0]]: key for key, dim in dims.items()}
    free = everything[~labels.protected(everything)]
    roots = labels.find(everything)
    # One number for each pair, which numpy sorts many times faster than pairs.
    pairs, counts = np.unique(roots[free] * len(origins) + origins[free], return_counts=True)
    members = np.stack(np.divmod(pairs, len(origins)))
    borders = np.flatnonzero(np.diff(members[0], prepend=-1, append=-1))
    owned = np.where(np.isin(members[1], list(keys)), counts, 0)
    times = np.concatenate([[0], owned.cumsum()])[borders]
    alike: dict[bytes, list[int]] = {}
    for (start, end), count in zip(pairwise(borders), np.diff(times), strict=True):
        if count > 1:
            signature = np.concatenate([members[1, start:end], counts[start:end]]).tobytes()
            alike.setdefault(signature, []).append(int(start))
    groups = []
    for starts in alike.values():
        end = borders[np.searchsorted(borders, starts[0]) + 1]
        held_keys = [keys[origin] for origin in members[1, starts[0] : end] if origin in keys]
        classes = members[0, starts]
        positions = {key: _positions(roots[dims[key]], classes) for key in held_keys}
        groups.append(_group(positions, dims, labels.shares(classes[0])))
    return [group for group in groups if group.n > 1]


def protected_of(found: Trace) -> list[tuple[str, str]]:
    """(tensor name, reason) of every dimension with an index that must be kept, except kernels."""
    said: dict[tuple[str, str], None] = {}
    for name, dims in found.owned.items():
        for dim in dims:
            stays = dim[found.labels.protected(dim) & (dim > 0)]
            if stays.size:
                said[name, found.labels.reason(stays[0])] = None
    return [(name, reason) for name, reason in said if reason != INSIDE]


def _group(
    positions: dict[Key, npt.NDArray[np.int64]],
    dims: Mapping[Key, npt.NDArray[np.int64]],
    cuts: int,
) -> Group:
    """These classes, or a single class divided into as many parts as its dimensions allow."""
    alone = len(next(iter(positions.values()))) == 1
    if not alone or any(held.size < dims[key].size for key, held in positions.items()):
        return Group(positions)  # a single class beside others cannot be divided
    shares = math.gcd(cuts, *(held.size for held in positions.values()))
    return Group({key: held.reshape(-1, shares).T for key, held in positions.items()}, rewired=True)


def _positions(
    roots: npt.NDArray[np.int64], classes: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """The positions of each class in a dimension, of shape (classes, times)."""
    rank = np.searchsorted(classes, roots).clip(max=len(classes) - 1)
    held = np.flatnonzero(classes[rank] == roots)
    return held[np.argsort(rank[held], kind="stable")].reshape(len(classes), -1)
