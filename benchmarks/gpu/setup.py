"""Settings that the parts of the GPU benchmark share."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import torch

__all__ = ["Row", "Setup", "left_out"]

Row = tuple[str, str, str, str]
"""Case, measurement, comparison, memory."""


@dataclass(frozen=True)
class Setup:
    """The settings that the parts share.

    Args:
        device: to measure on.
        data: an ``.npz`` with CIFAR-10; None for random images.
        smoke: whether to measure as little as possible, for a quick try.
        deadline: when the part must end, by ``time.monotonic()``. No row starts after it.
    """

    device: torch.device
    data: Path | None
    smoke: bool
    deadline: float

    @property
    def seconds_left(self) -> float:
        """Seconds until the deadline."""
        return self.deadline - time.monotonic()


def left_out(case: str) -> Row:
    """The row of a case for which no time is left."""
    return case, "left out: not enough time", "", ""
