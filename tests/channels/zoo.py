"""All networks that a proxy can be made of, small and fast, and what the tests do with them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from proxyhpo._inputs import Inputs, call, map_tensors
from proxyhpo._networks.counting import forward
from proxyhpo.channels import shrink
from tests.channels import (  # noqa: F401 - each registers its networks
    zoo_convolutions,
    zoo_images,
    zoo_perceptrons,
    zoo_resolutions,
    zoo_sequences,
    zoo_several,
    zoo_transformers,
    zoo_weights,
)
from tests.channels.member import ZOO, Member

__all__ = [
    "TOKENS",
    "ZOO",
    "Member",
    "every_member",
    "floats",
    "flops",
    "half",
    "l1",
    "loss",
    "shapes",
    "tensors",
    "train",
]


TOKENS = torch.rand(4, 6, 16)
"""Inputs of shape (batch, tokens, channels)."""


def every_member(condition=lambda member: True):
    """Parametrizes a test with the zoo."""
    members = [member for member in ZOO.values() if condition(member)]
    return pytest.mark.parametrize("member", members, ids=lambda member: member.name)


def l1(slices) -> Tensor:
    """The sum of the magnitudes of a class."""
    return torch.stack([part.abs().sum(1) for part in slices]).sum(0)


def half(network, inputs=TOKENS, **options):
    """What :func:`~proxyhpo.channels.shrink` gives for half of the channels."""
    return shrink(network, inputs, density=0.5, score=l1, **options)


def tensors(structure) -> list[Tensor]:
    """The tensors in any structure of outputs, in order."""
    found: list[Tensor] = []
    map_tensors(lambda tensor: found.append(tensor) or tensor, structure)
    return found


def shapes(structure) -> tuple:
    """The structure of outputs, with a type and a shape for each tensor; comparable by ``==``."""
    kinds = map_tensors(lambda x: (x.dtype, tuple(x.shape)), structure)
    return type(structure), kinds


def floats(structure) -> list[Tensor]:
    return [tensor for tensor in tensors(structure) if tensor.is_floating_point()]


def loss(network: nn.Module, inputs: Inputs) -> Tensor:
    """The distance of every output from noise; the same dropout at every call."""
    torch.manual_seed(1)
    outputs = floats(call(network, inputs))
    generator = torch.Generator().manual_seed(2)
    targets = [torch.randn(y.shape, generator=generator).to(y) for y in outputs]
    return torch.stack(
        [(y - t).square().mean() for y, t in zip(outputs, targets, strict=True)]
    ).sum()


def train(
    network: nn.Module, inputs: Inputs, optimizer: torch.optim.Optimizer, steps: int
) -> list[float]:
    """The losses before each step and after the last."""
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        value = loss(network, inputs)
        value.backward()
        optimizer.step()
        losses.append(value.item())
    return [*losses, loss(network, inputs).item()]


def flops(network: nn.Module, inputs: Inputs) -> int:
    """Of one forward in train mode."""
    counted = forward(network, inputs)
    assert counted.flops is not None, counted.reason
    return counted.flops
