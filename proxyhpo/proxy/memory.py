"""Whether the largest batch of a search fits into memory, found out before the search."""

from __future__ import annotations

import torch

from proxyhpo.errors import ArgumentError
from proxyhpo.inputs import Inputs, with_batch
from proxyhpo.networks.measuring import step_seconds
from proxyhpo.proxy import NetworkFactory
from proxyhpo.seeding import seed_sequence
from proxyhpo.space import Choice, Float, Int, Space

__all__ = ["check_memory", "largest_batch"]


def largest_batch(space: Space) -> int | None:
    """The largest ``batch_size`` in a space, or None if it has no such hyperparameter.

    >>> largest_batch(Space({"batch_size": Choice([32, 256])}))
    256
    """
    batch = space.get("batch_size")
    if isinstance(batch, Choice):
        return max(int(batch.resolve(value)) for value in batch.values)
    if isinstance(batch, (Int, Float)):
        return int(batch.high)
    return None if batch is None else int(batch)


def check_memory(
    networks: NetworkFactory, space: Space, inputs: Inputs, device: torch.device | str = "cpu"
) -> None:
    """Trains the full network for a step on the largest batch of the space.

    Raises:
        ArgumentError: if there is not enough memory, or no ``batch_size`` to tell by.
    """
    size = largest_batch(space)
    if size is None:
        raise ArgumentError("check_memory: the space has no hyperparameter `batch_size`")
    config = space.resolve(space.center())
    network = networks.network(config, density=1, seed=seed_sequence("measuring", 0))
    try:
        step_seconds(network, with_batch(inputs, size), device=device, limit=0)
    except (MemoryError, RuntimeError) as error:  # torch's out-of-memory is a RuntimeError
        raise ArgumentError(
            f"check_memory: a step of the full network on the largest batch, {size}, failed: "
            f"{error}"
        ) from error
