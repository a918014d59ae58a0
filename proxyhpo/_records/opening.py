"""The measurement of a rung, and what was decided when it opened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from proxyhpo._records.fields import (
    COUNT,
    EXPONENTS,
    FRACTION,
    PAIRS,
    SECONDS,
    STEP_SECONDS,
    TEXT,
    WIDTH_RATIO,
    Kind,
    Stored,
    optional,
)

__all__ = ["Measurement", "Opening"]


@dataclass(frozen=True)
class Measurement(Stored):
    """The measurement of the network of a rung, at the centre of the space.

    Args:
        rung: index in the ladder, 0 the cheapest.
        density: the density used (searched for if the rung has a cost).
        width_ratio: mean kept fraction of fan-in, weighted by the weights' sizes.
        parameters: of the proxy (nonzero ones, for masks).
        flops: of one forward pass of the example batch through the proxy, or None if uncountable.
        step_seconds: of one forward and backward pass of the example batch through the proxy.
        seconds: spent on measuring.
        skipped: what was not pruned, as (name, reason).
        warning: why a step is hardly faster than the full network's, or None if it is faster.
    """

    WHAT: ClassVar[str] = "a measurement"
    KINDS: ClassVar[Mapping[str, Kind]] = {
        "rung": COUNT,
        "density": FRACTION,
        "width_ratio": WIDTH_RATIO,
        "parameters": COUNT,
        "flops": optional(COUNT),
        "step_seconds": STEP_SECONDS,
        "seconds": SECONDS,
        "skipped": PAIRS,
        "warning": optional(TEXT),
    }

    rung: int
    density: float
    width_ratio: float
    parameters: int
    flops: int | None
    step_seconds: float
    seconds: float = 0.0
    skipped: Sequence[tuple[str, str]] = ()
    warning: str | None = None


@dataclass(frozen=True)
class Opening(Stored):
    """What the transfer decided when a rung opened, for all trainings there.

    Args:
        rung: index in the ladder, 0 the cheapest.
        exponents: hyperparameter name → power of the width ratio that multiplies it.
        seconds: spent on deciding.
    """

    WHAT: ClassVar[str] = "an opening"
    KINDS: ClassVar[Mapping[str, Kind]] = {
        "rung": COUNT,
        "exponents": EXPONENTS,
        "seconds": SECONDS,
    }

    rung: int
    exponents: Mapping[str, float]
    seconds: float = 0.0
