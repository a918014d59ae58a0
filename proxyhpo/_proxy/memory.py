"""Checks before a search whether its largest batch fits into memory."""

from __future__ import annotations

import torch
from torch import nn

from proxyhpo._inputs import Inputs, map_tensors, with_batch
from proxyhpo._networks.running import one_step
from proxyhpo._proxy import NetworkFactory
from proxyhpo._seeding import seed_sequence
from proxyhpo.errors import ArgumentError, one_line
from proxyhpo.space import Choice, Float, Int, Space

__all__ = ["check_memory", "largest_batch"]


def largest_batch(space: Space) -> int | None:
    """The largest ``batch_size`` in a space, or None if it has no such hyperparameter.

    Raises:
        ArgumentError: if one of them is not a number.

    >>> largest_batch(Space({"batch_size": Choice([32, 256])}))
    256
    """
    batch = space.get("batch_size")
    if isinstance(batch, Choice):
        sizes = [batch.resolve(value) for value in batch.values]
    else:
        sizes = [batch.high if isinstance(batch, (Int, Float)) else batch]
    try:
        return None if batch is None else max(int(size) for size in sizes)
    except (TypeError, ValueError) as error:
        raise ArgumentError(
            f"check_memory: values of `batch_size` must be numbers, got {sizes}"
        ) from error


def check_memory(
    networks: NetworkFactory, space: Space, inputs: Inputs, device: torch.device | str = "cpu"
) -> None:
    """Trains the full network for one step on the largest batch of the space.

    The check runs the usual peak of a training: a forward and backward pass in train mode while two
    buffers as large as the weights are allocated, as in Adam, and an update with a third buffer.
    All other hyperparameters, including those of the architecture, are at the centre of the space.
    The check does not include what only ``train`` knows (its loss, data, precision and copies of
    the weights) or other programs on the device. On the CPU it catches allocations that the system
    refuses; with memory overcommit the OS may kill the process instead.

    Raises:
        ArgumentError: if there is not enough memory, or no ``batch_size`` in the space.
        Exception: whatever else the network raises.
    """
    size = largest_batch(space)
    if size is None:
        raise ArgumentError("check_memory: the space has no hyperparameter `batch_size`")
    config = {**networks.config_to_measure(space), "batch_size": size}
    network = networks.network(config, density=1, seed=seed_sequence("measuring", 0))
    try:
        _train_a_step(network, inputs, size, torch.device(device))
    except (MemoryError, RuntimeError) as error:
        if not _is_of_memory(error):
            raise
        raise ArgumentError(
            f"check_memory: there is not enough memory on {device} for a step of the full network "
            f"on the largest batch, {size}: {one_line(error)}"
        ) from error


def _train_a_step(network: nn.Module, inputs: Inputs, size: int, device: torch.device) -> None:
    network.to(device).train()
    batch = with_batch(map_tensors(lambda tensor: tensor.to(device), inputs), size)
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    means = [torch.zeros_like(weight) for weight in weights]
    squares = [torch.zeros_like(weight) for weight in weights]
    one_step(network, batch, device)
    with torch.no_grad():
        # Allocated at the same time, as in torch's optimizers on CUDA; filled with zeros.
        updates = [mean / (square + 1) for mean, square in zip(means, squares, strict=True)]
        for weight, update in zip(weights, updates, strict=True):
            weight.sub_(update)


def _is_of_memory(error: Exception) -> bool:
    """Whether an error reports a lack of memory; torch has no class for that on the CPU."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    # The last one comes from cuBLAS and cuDNN, whose errors are not torch.OutOfMemoryError.
    said = ("can't allocate memory", "not enough memory", "out of memory", "STATUS_ALLOC_FAILED")
    return any(words in str(error) for words in said)
