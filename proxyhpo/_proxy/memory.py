"""Whether the largest batch of a search fits into memory, found out before the search."""

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
        ArgumentError: if one of them is no number.

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
        raise ArgumentError(f"check_memory: a `batch_size` is no number: {sizes}") from error


def check_memory(
    networks: NetworkFactory, space: Space, inputs: Inputs, device: torch.device | str = "cpu"
) -> None:
    """Trains the full network for a step on the largest batch of the space.

    What is tried is what usually takes most: a forward and a backward of that batch in train mode
    while two buffers as large as the weights are held, as Adam's are, and an update of the weights
    with a third. All else stays at the centre of the space, hyperparameters of the architecture
    included. Not tried is what only ``train`` knows: its loss, data, precision and copies of the
    weights, and whatever else uses the device. On the CPU this catches
    allocations that the system refuses; with memory overcommit the OS may kill the process
    instead.

    Raises:
        ArgumentError: if there is not enough memory, or no ``batch_size`` to tell by.
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
        # All at the same time, as torch's optimizers do on CUDA; they are zero.
        updates = [mean / (square + 1) for mean, square in zip(means, squares, strict=True)]
        for weight, update in zip(weights, updates, strict=True):
            weight.sub_(update)


def _is_of_memory(error: Exception) -> bool:
    """Whether it says that memory is short; torch's CPU has no class of errors for that."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    # The last is what cuBLAS and cuDNN say, whose errors are no torch.OutOfMemoryError.
    said = ("can't allocate memory", "not enough memory", "out of memory", "STATUS_ALLOC_FAILED")
    return any(words in str(error) for words in said)
