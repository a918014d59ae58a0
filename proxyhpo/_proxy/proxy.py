"""A proxy and its cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import nn

from proxyhpo._networks.fans import FanRatios

__all__ = ["Made", "Proxy"]


@dataclass(frozen=True)
class Made:
    """A network for one training, and how narrow it is.

    Args:
        network: on the device on which ``build`` made it, in train mode.
        fans: parameter name → the fractions of its fans that are kept; empty for the full network.
        width_ratio: see :class:`Proxy`.
        has_norms: whether the network has normalisation layers; None if unknown.
    """

    network: nn.Module
    fans: Mapping[str, FanRatios] = field(default_factory=dict)
    width_ratio: float = 1.0
    has_norms: bool | None = None


@dataclass(frozen=True)
class Proxy:
    """A smaller network that stands in for the full one, and its cost.

    Args:
        network: on the device on which ``build`` made it, in train mode.
        density: requested fraction of its channels (or weights) that each prunable layer keeps.
        parameters: number of weights, without those that masks hold at zero.
        flops: of one forward pass of the example batch; None if they could not be counted.
        step_seconds: measured time of one forward and backward pass of the example batch.
        width_ratio: mean kept fraction of fan-in over its weight matrices, weighted by their size
            in the full network; 1 for the full network.
        skipped: what was not pruned, as (name, reason).
        uncounted: why the FLOPs could not be counted.
        unreached: names of parameters that no output depends on, which do not take part in
            training.
        contracted: parameter name → the dimensions that its products sum over, if known.
        narrower: names of outputs that are smaller than the full network's.
    """

    network: nn.Module
    density: float
    parameters: int
    flops: int | None
    step_seconds: float
    width_ratio: float
    skipped: Sequence[tuple[str, str]] = ()
    uncounted: str | None = None
    unreached: Sequence[str] = ()
    contracted: Mapping[str, tuple[int, ...]] | None = None
    narrower: Sequence[str] = ()
