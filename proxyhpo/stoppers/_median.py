"""The median stopping rule."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import final

from typing_extensions import override

from proxyhpo._validation import check_whole, suggesting
from proxyhpo.stoppers._interface import Curve, Stopper

__all__ = ["MedianStopper"]

_NOISE = 0.1
"""Differences below this fraction of what the best peer still improved by count as noise."""


@final
class MedianStopper(Stopper):
    """Ends a training whose best loss is worse than the median of its peers' running means.

    This is the median stopping rule (Golovin et al., "Google Vizier", KDD 2017). It is mild: the
    best loss so far is compared with means, which include the bad losses of the first steps. It
    assumes nothing about the shape or the length of the curves.

    Two exceptions keep trainings alive while curves are at chance level, where they differ by noise
    alone. A training continues if the peer with the best last loss was no better at this step. It
    also continues if it is worse than the median by less than a tenth of the difference between the
    median and that last loss.

    Args:
        min_peers: how many trainings must have reached the step before any is ended there.
        min_steps: the first step at which a training may be ended.

    Raises:
        ArgumentError: unless both are whole numbers >= 1.

    >>> peers = [Curve([4.0, 2.0]), Curve([4.0, 4.0]), Curve([6.0, 6.0])]  # means: 3, 4, 6
    >>> stopper = MedianStopper(min_peers=3)
    >>> stopper.should_stop(Curve([5.0, 4.5]), peers), stopper.should_stop(Curve([9, 4]), peers)
    (True, False)
    """

    @suggesting
    def __init__(self, *, min_peers: int = 5, min_steps: int = 1) -> None:
        self.min_peers = check_whole("min_peers", min_peers, 1)
        self.min_steps = check_whole("min_steps", min_steps, 1)

    @override
    def should_stop(self, losses: Curve, peers: Sequence[Curve]) -> bool:
        step = len(losses)
        if step < self.min_steps:
            return False
        there = [peer for peer in peers if len(peer) >= step]
        if len(there) < self.min_peers:
            return False
        usual, best = median(peer.mean(step) for peer in there), losses.best()
        lowest = min(peer[-1] for peer in there)
        # Of several that ended equally well, the one that was slowest: the order does not matter.
        reached = max(peer.best(step) for peer in there if peer[-1] == lowest)
        return best > max(usual, reached) and best - usual > _NOISE * (usual - lowest)

    @override
    def __repr__(self) -> str:
        return f"MedianStopper(min_peers={self.min_peers}, min_steps={self.min_steps})"
