"""Slices tensors: only the kept classes remain in every dimension that contains them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import overload

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from proxyhpo.channels.find.groups import Group, Key
from proxyhpo.channels.find.skeleton import copy_with

__all__ = ["Kept", "Score", "Slices", "chosen", "kept_indices", "sliced"]

Kept = Mapping[Key, npt.NDArray[np.int64]]
"""Tensor and dimension → the kept indices, ascending; other dimensions keep all."""

Score = Callable[[Sequence[Tensor]], Tensor]
"""From the slices of a group, one float tensor of shape (n, elements) for each parameter and
dimension, to n scores. The classes with the highest scores are kept."""


class Slices(Sequence[Tensor]):
    """The slices that a score receives. They are made one at a time to save memory.

    They are slices of the parameters, or of buffers if a group has no parameters. Complex tensors
    are given as magnitudes.
    """

    def __init__(self, group: Group, tensors: Mapping[str, Tensor]) -> None:
        members = [
            key
            for key in group.positions
            if tensors[key[0]].is_floating_point() or tensors[key[0]].is_complex()
        ]
        learned = [key for key in members if isinstance(tensors[key[0]], nn.Parameter)]
        self._keys = learned or members
        self._group, self._tensors = group, tensors

    def __len__(self) -> int:
        return len(self._keys)

    @overload
    def __getitem__(self, index: int) -> Tensor: ...
    @overload
    def __getitem__(self, index: slice) -> list[Tensor]: ...
    def __getitem__(self, index: int | slice) -> Tensor | list[Tensor]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        name, axis = self._keys[index]
        tensor, positions = self._tensors[name].detach(), self._group.positions[name, axis]
        places = positions.ravel()
        if not np.array_equal(places, np.arange(tensor.shape[axis])):  # otherwise no copy is needed
            tensor = tensor.index_select(axis, torch.from_numpy(places).to(tensor.device))
        if tensor.is_complex():
            tensor = tensor.abs()
        return tensor.movedim(axis, 0).reshape(len(positions), -1).float()


def chosen(scores: Tensor, count: int) -> list[int]:
    """The classes with the highest scores, ascending; the first of equal ones."""
    order = torch.sort(scores.detach().cpu(), descending=True, stable=True).indices
    return sorted(order[:count].tolist())


def kept_indices(
    groups_and_kept: Sequence[tuple[Group, Sequence[int]]], shapes: Mapping[str, Sequence[int]]
) -> Kept:
    """The kept indices of every dimension if each group keeps exactly these classes."""
    stays: dict[Key, npt.NDArray[np.bool_]] = {}
    for group, kept in groups_and_kept:
        gone = np.ones(group.n, np.bool_)
        gone[list(kept)] = False
        for (name, axis), positions in group.positions.items():
            mask = stays.setdefault((name, axis), np.ones(shapes[name][axis], np.bool_))
            mask[positions[gone].ravel()] = False
    return {key: np.flatnonzero(mask) for key, mask in stays.items()}


def sliced(network: nn.Module, tensors: Mapping[str, Tensor], kept: Kept) -> nn.Module:
    """A copy with smaller tensors. It shares no storage with the network."""
    axes: dict[str, list[int]] = {}
    for name, axis in kept:
        axes.setdefault(name, []).append(axis)

    def cut(name: str, tensor: Tensor) -> Tensor:
        smaller = tensor.detach()
        if smaller.layout != torch.strided:
            return smaller.clone()
        for axis in axes.get(name, ()):
            indices = torch.from_numpy(kept[name, axis]).to(tensor.device)
            smaller = smaller.index_select(axis, indices)
        if smaller.data_ptr() == tensor.data_ptr():
            return smaller.clone()
        return smaller.contiguous(memory_format=_layout(tensor))

    return copy_with(network, cut, tensors)


def _layout(tensor: Tensor) -> torch.memory_format:
    channels_last = tensor.ndim == 4 and tensor.is_contiguous(memory_format=torch.channels_last)
    if channels_last and not tensor.is_contiguous():
        return torch.channels_last
    return torch.contiguous_format
