"""Helpers of :mod:`benchmarks.networks.strangers` that make networks and inputs."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from proxyhpo._inputs import Inputs

__all__ = ["Row", "in_order", "integers", "made", "noise", "together"]

Row = tuple[str, Callable[[], nn.Module], Callable[[int], Inputs]]
"""A name, a function that makes the network, and one that makes a batch of n examples."""


def made(module: str, name: str, *args: Any, **kwargs: Any) -> nn.Module:
    """Imports a constructor and calls it."""
    network: nn.Module = getattr(importlib.import_module(module), name)(*args, **kwargs)
    return network


def noise(*shape: int) -> Callable[[int], Tensor]:
    return lambda batch: torch.randn(batch, *shape)


def integers(below: int, *shape: int) -> Callable[[int], Tensor]:
    return lambda batch: torch.randint(below, (batch, *shape))


def together(**parts: Callable[[int], Tensor]) -> Callable[[int], Inputs]:
    return lambda batch: {name: make(batch) for name, make in parts.items()}


def in_order(*parts: Callable[[int], Tensor]) -> Callable[[int], Inputs]:
    return lambda batch: tuple(make(batch) for make in parts)
