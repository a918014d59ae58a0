"""Batches of examples, from tensors that stay on the device or from a data set of torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, TensorDataset

from proxyhpo._inputs import map_tensors
from proxyhpo.errors import ArgumentError

__all__ = ["Data", "IndexBatches", "batches", "check_data", "count"]

Data = Dataset[Any] | tuple[Tensor, Tensor]
"""Pairs of an input and a target: a map-style data set, or two tensors of equal length."""


@dataclass(frozen=True)
class IndexBatches:
    """The indices of each batch of one pass over ``n`` examples.

    Args:
        n: how many examples there are, >= 1.
        size: of a batch, >= 1; the last one may be smaller.
        generator: shuffles the examples at every pass; None keeps the order.
        drop_single: whether to omit a last batch of a single example if there are other batches,
            since batch normalisation cannot train on it.
    """

    n: int
    size: int
    generator: torch.Generator | None = None
    drop_single: bool = False

    def __len__(self) -> int:
        full, rest = divmod(self.n, self.size)
        dropped = self.drop_single and rest == 1 and full > 0
        return full + (rest > 0 and not dropped)

    def __iter__(self) -> Iterator[list[int]]:
        for indices in self.tensors():
            yield indices.tolist()

    def tensors(self) -> Iterator[Tensor]:
        """The same indices as tensors of shape (size,), on the CPU."""
        if self.generator is None:
            order = torch.arange(self.n)
        else:
            order = torch.randperm(self.n, generator=self.generator)
        yield from torch.split(order, self.size)[: len(self)]


def check_data(name: str, data: object) -> Data:
    """Checks training or validation data.

    Raises:
        TypeError: names the argument, if it is not of type :data:`Data`.
        ArgumentError: if there are no examples, or the numbers of inputs and targets differ.
    """
    if isinstance(data, TensorDataset) and len(data.tensors) == 2:
        data = data.tensors
    if isinstance(data, tuple) and len(data) == 2 and all(isinstance(t, Tensor) for t in data):
        inputs, targets = data
        if inputs.ndim == 0 or targets.ndim == 0 or len(inputs) != len(targets):
            raise ArgumentError(
                f"{name}: inputs of shape {tuple(inputs.shape)} and targets of shape "
                f"{tuple(targets.shape)} must have the same number of examples in dimension 0"
            )
    elif not (isinstance(data, Dataset) and hasattr(data, "__len__")):
        raise TypeError(
            f"{name} must be a tuple of two tensors (inputs, targets), or a torch Dataset of such "
            f"pairs with a length, got {_describe(data)}"
        )
    if count(data) == 0:
        raise ArgumentError(f"{name} contains no examples")
    return data


def count(data: Data) -> int:
    """The number of examples."""
    return len(data[0]) if isinstance(data, tuple) else len(data)  # type: ignore[arg-type]  # checked


def batches(
    data: Data, indices: IndexBatches, device: torch.device, *, num_workers: int = 0
) -> Iterable[tuple[Any, Tensor]]:
    """(inputs, targets) on the device for each batch of indices; can be iterated many times.

    Tensors are moved to the device once and indexed there. A data set is read by a ``DataLoader``,
    whose workers live as long as the returned object.
    """
    if isinstance(data, tuple):
        return _TensorBatches(data[0].to(device), data[1].to(device), indices)
    loader = DataLoader(
        data,
        batch_sampler=indices,
        num_workers=num_workers,
        persistent_workers=num_workers > 0,
        pin_memory=device.type == "cuda",
        generator=indices.generator,
    )
    return _LoadedBatches(loader, device)


@dataclass(frozen=True)
class _TensorBatches:
    inputs: Tensor
    targets: Tensor
    indices: IndexBatches

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for batch in self.indices.tensors():
            there = batch.to(self.inputs.device)
            yield self.inputs[there], self.targets[there]


@dataclass(frozen=True)
class _LoadedBatches:
    loader: DataLoader[Any]
    device: torch.device

    def __iter__(self) -> Iterator[tuple[Any, Tensor]]:
        for batch in self.loader:
            if not (isinstance(batch, (list, tuple)) and len(batch) == 2):
                raise TypeError(
                    f"the data set must contain pairs (inputs, targets), got a {_describe(batch)}"
                )
            inputs, targets = map_tensors(lambda tensor: tensor.to(self.device), batch)
            yield inputs, targets


def _describe(data: object) -> str:
    if isinstance(data, (tuple, list)):
        return f"{type(data).__name__} of {', '.join(type(item).__name__ for item in data)}"
    return type(data).__name__
