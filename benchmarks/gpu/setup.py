"""Settings that the parts of the GPU benchmark share."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import torch

__all__ = ["Row", "Setup"]

Row = tuple[str, str, str, str]
"""Case, measurement, comparison, memory."""


@dataclass(frozen=True)
class Setup:
    """What the parts share.

    Args:
        device: to measure on.
        data: an ``.npz`` with CIFAR-10; None for random images.
        smoke: measure next to nothing, as quickly as possible.
        deadline: when the command has to end, by ``time.monotonic()``.
    """

    device: torch.device
    data: Path | None
    smoke: bool
    deadline: float

    @property
    def seconds_left(self) -> float:
        """Until the deadline."""
        return self.deadline - time.monotonic()
