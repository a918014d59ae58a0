"""Labels for the indices of dimensions, and which of them must be removed together.

Every index of every dimension of a tensor has a label, a whole number. Labels that are *joined*
are removed together or not at all. Labels joined to something that cannot be removed are
*protected*, with a reason. A dimension of a tensor is an array of labels, one for each index.

The label :data:`FIXED` stands for an index that is determined by the inputs: an example of the
batch, a pixel, a token.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["DIVIDES", "FIXED", "INPUT", "INSIDE", "NATURAL", "OUTPUT", "ROWS", "Dim", "Labels"]

Dim = npt.NDArray[np.int64]
"""The labels of one dimension, one for each index."""

FIXED = 0

INPUT = "its size comes from the inputs"
OUTPUT = "its size is the size of an output"
ROWS = "its rows are looked up by index"
INSIDE = "it is the spatial extent of a kernel"
DIVIDES = "it is part of a dimension that is pruned along another part"
NATURAL = (INPUT, OUTPUT, ROWS, INSIDE, DIVIDES)
"""Reasons that apply to every network: such dimensions can never be pruned."""


@dataclass(frozen=True)
class _Product:
    """A dimension (``whole``, in the shape of its parts) that is also viewed as several parts."""

    whole: npt.NDArray[np.int64]
    parts: Sequence[Dim]


class Labels:
    """A union-find structure over labels, vectorized, with reasons for protected labels.

    >>> labels = Labels()
    >>> rows, columns = labels.new(4), labels.new(4)
    >>> labels.join(rows, columns)
    >>> labels.protect(columns[:1], "it is an example")
    >>> labels.protected(rows).tolist()
    [True, False, False, False]
    >>> labels.reason(rows[0])
    'it is an example'
    """

    def __init__(self) -> None:
        self._parent = np.zeros(1, np.int64)
        self._why = np.ones(1, np.int64)  # by root: 0 if it may be removed, otherwise a reason
        self._solid = np.zeros(1, np.bool_)  # by root: whether its size comes from more than Python
        self._cuts = np.zeros(1, np.int64)  # by root: the number of equal parts must divide it
        self._count = 1
        self._starts = [0]
        self._reasons = ["", *NATURAL]
        self._products: list[_Product] = []
        self.sources: list[tuple[Dim, Sequence[Dim]]] = []
        """(labels made for a reshaped dimension, the dimensions that it was made of)."""

    def new(self, size: int, *, solid: bool = True) -> Dim:
        """New labels for a dimension; not solid if only a Python number determined its size."""
        start, self._count = self._count, self._count + size
        if self._count > len(self._parent):
            room = max(self._count, 2 * len(self._parent)) - len(self._parent)
            self._parent = np.concatenate([self._parent, np.zeros(room, np.int64)])
            self._why = np.concatenate([self._why, np.zeros(room, np.int64)])
            self._solid = np.concatenate([self._solid, np.zeros(room, np.bool_)])
            self._cuts = np.concatenate([self._cuts, np.zeros(room, np.int64)])
        labels = np.arange(start, self._count)
        self._starts.append(start)
        self._parent[start : self._count] = labels
        self._solid[start : self._count] = solid
        return labels

    def all(self) -> Dim:
        """All labels so far, :data:`FIXED` first."""
        return np.arange(self._count)

    def origins(self) -> Dim:
        """For every label, the number of the dimension for which it was created."""
        return np.searchsorted(np.array(self._starts), self.all(), side="right")

    def find(self, labels: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The representative of each label's class."""
        roots = self._parent[labels]
        while True:
            above = self._parent[roots]
            if np.array_equal(above, roots):
                break
            roots = above
        self._parent[labels] = roots
        return roots

    def solid(self) -> npt.NDArray[np.bool_]:
        """For every label, whether its class is protected or not only sized by Python."""
        roots = self.find(self.all())
        return self._solid[roots] | (self._why[roots] > 0)

    def join(self, left: npt.NDArray[np.int64], right: npt.NDArray[np.int64]) -> None:
        """Joins labels position by position. Labels joined with :data:`FIXED` become protected."""
        left, right = (side.ravel() for side in np.broadcast_arrays(left, right))
        if left.size == 0 or np.array_equal(left, right):
            return
        fixed = (left == FIXED) | (right == FIXED)
        if fixed.any():
            self.protect(np.maximum(left, right)[fixed], INPUT)
            left, right = left[~fixed], right[~fixed]
        before = self.find(np.concatenate([left, right]))
        while left.size:
            left, right = self.find(left), self.find(right)
            apart = left != right
            low = np.minimum(left, right)[apart]
            high = np.maximum(left, right)[apart]
            self._parent[high] = low  # with several partners the last one wins, so repeat
            left, right = low, high
        after = self.find(before)
        np.maximum.at(self._why, after, self._why[before])
        np.logical_or.at(self._solid, after, self._solid[before])
        np.gcd.at(self._cuts, after, self._cuts[before])

    def tie(self, matrix: npt.NDArray[np.int64]) -> None:
        """Joins the rows of a matrix of labels: equal columns become one class."""
        self.join(matrix[1:], matrix[:1])
        self.cut_evenly(matrix, matrix.shape[1])

    def cut_evenly(self, labels: npt.NDArray[np.int64], count: int) -> None:
        """Records that the number of equal parts of these labels must divide ``count``."""
        roots = np.unique(self.find(labels.ravel()))
        self._cuts[roots] = np.gcd(self._cuts[roots], count)

    def shares(self, label: np.int64) -> int:
        """The recorded number for :meth:`cut_evenly`; 0 if there is none."""
        return int(self._cuts[self.find(np.array([label]))[0]])

    def protect(self, labels: npt.NDArray[np.int64], reason: str) -> None:
        """Marks the classes of these labels as not removable; the first reason is kept."""
        roots = self.find(labels.ravel())
        roots = roots[self._why[roots] == 0]
        if roots.size:
            if reason not in self._reasons:
                self._reasons.append(reason)
            self._why[roots] = self._reasons.index(reason)

    def protected(self, labels: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Whether each label's class is protected."""
        return self._why[self.find(labels)] > 0

    def reason(self, label: np.int64) -> str:
        """Why this label's class is protected; empty if it is not."""
        return self._reasons[int(self._why[self.find(np.array([label]))[0]])]

    # One dimension viewed as several, and several viewed as one.

    def merge(self, parts: Sequence[Dim]) -> Dim:
        """The labels of a dimension into which these were flattened."""
        sizes = [part.size for part in parts]
        free = [axis for axis, part in enumerate(parts) if not self.protected(part).all()]
        if len(parts) == 1:
            return parts[0]
        if not free:
            return np.zeros(math.prod(sizes), np.int64)
        if len(free) == 1:
            return np.ascontiguousarray(_along(parts[free[0]], free[0], sizes)).ravel()
        kept, inner = [parts[axis] for axis in free], [sizes[axis] for axis in free]
        made = self.new(math.prod(inner), solid=any(self._is_solid(part) for part in kept))
        self._products.append(_Product(made.reshape(inner), kept))
        self.sources.append((made, kept))
        shape = [size if axis in free else 1 for axis, size in enumerate(sizes)]
        return np.broadcast_to(made.reshape(shape), sizes).ravel()

    def divide(self, whole: Dim, sizes: Sequence[int]) -> list[Dim]:
        """The labels of the dimensions into which this one was unflattened."""
        if len(sizes) == 1:
            return [whole]
        parts = [np.zeros(size, np.int64) for size in sizes]
        if self.protected(whole).all():
            return parts
        shaped = whole.reshape(sizes)
        roots = self.find(whole).reshape(sizes)
        wide = [axis for axis, size in enumerate(sizes) if size > 1]
        varied = [axis for axis in wide if _varies(roots, axis)] or wide[-1:]
        inside = np.ascontiguousarray(
            shaped[tuple(slice(None) if axis in varied else 0 for axis in range(len(sizes)))]
        )
        if len(varied) == 1:
            parts[varied[0]] = inside
            return parts
        solid = self._is_solid(whole)
        for axis in varied:
            parts[axis] = self.new(sizes[axis], solid=solid)
        made = [parts[axis] for axis in varied]
        self._products.append(_Product(inside, made))
        self.sources.extend((part, [whole]) for part in made)
        return parts

    def settle(self) -> None:
        """Decides which part is pruned, for every dimension that is viewed as several parts.

        Only one part can be: an index of the whole is removed if and only if its index in that part
        is removed. Usually all others are protected (pixels, heads). If more remain, the last one
        is chosen, so that heads become narrower rather than fewer.
        """
        pending = self._products
        while pending:
            waiting = [product for product in pending if not self._settled(product)]
            if len(waiting) == len(pending):
                self._keep_last(waiting[0])
            pending = waiting
        self._products = []

    def _settled(self, product: _Product) -> bool:
        if self.protected(product.whole.ravel()).all():
            reason = self.reason(product.whole.flat[0])
            for part in product.parts:
                self.protect(part[part != FIXED], reason)
            return True
        free = self._free(product)
        if len(free) > 1:
            return False
        for axis, part in enumerate(product.parts):
            if axis in free:
                self.join(product.whole, _along(part, axis, product.whole.shape))
                self.cut_evenly(part, part.size)
            else:
                self.protect(part[part != FIXED], DIVIDES)
        if not free:
            self.protect(product.whole, DIVIDES)
        return True

    def _keep_last(self, product: _Product) -> None:
        for axis in self._free(product)[:-1]:
            self.protect(product.parts[axis], DIVIDES)

    def _free(self, product: _Product) -> list[int]:
        """The parts that may be pruned, except if the classes of the whole repeat along them."""
        roots = self.find(product.whole)
        free = [axis for axis, part in enumerate(product.parts) if self._is_solid(part)]
        return [axis for axis in free if _varies(roots, axis)] or free

    def _is_solid(self, part: Dim) -> bool:
        """Whether any of these may be removed and has a size not given by Python alone."""
        roots = self.find(part)
        return bool((self._solid[roots] & (self._why[roots] == 0)).any())


def _varies(roots: npt.NDArray[np.int64], axis: int) -> bool:
    return bool((roots != roots.take([0], axis)).any())


def _along(part: npt.NDArray[np.int64], axis: int, sizes: Sequence[int]) -> npt.NDArray[np.int64]:
    """The labels of one part at every index of the whole."""
    shape = [1] * len(sizes)
    shape[axis] = -1
    return np.broadcast_to(part.reshape(shape), tuple(sizes))
