"""A rule for few and expensive trainings: ends those that are clearly behind the best."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

from typing_extensions import override

from proxyhpo._validation import check_whole, suggesting
from proxyhpo.stoppers._interface import Curve, Stopper

__all__ = ["LaggingStopper"]


@final
class LaggingStopper(Stopper):
    """Ends a training that has not reached what the best one reached in half the time.

    The best one is the peer with the lowest last loss. A training is ended at step ``s`` if its
    best loss so far is worse than what that peer had reached by step ``s // 2``: it learns less
    than half as fast. The rule is meant for finalists on the full network, where trainings are few
    and expensive: one peer is sufficient, only the order of losses matters, and trainings near
    the best one are allowed to finish.

    Args:
        min_steps: the first step at which a training may be ended.

    Raises:
        ArgumentError: unless it is a whole number >= 2.

    >>> best = Curve([8.0, 4.0, 2.0, 1.0])
    >>> stopper = LaggingStopper(min_steps=2)
    >>> stopper.should_stop(Curve([9.0, 7.0, 5.0, 4.5]), [best])  # 4.0 by step 2
    True
    >>> stopper.should_stop(Curve([9.0, 7.0, 5.0, 3.5]), [best])
    False
    """

    @suggesting
    def __init__(self, *, min_steps: int = 4) -> None:
        self.min_steps = check_whole("min_steps", min_steps, 2)

    @override
    def should_stop(self, losses: Curve, peers: Sequence[Curve]) -> bool:
        step = len(losses)
        if step < self.min_steps or not peers:
            return False
        lowest = min(peer[-1] for peer in peers)
        # Of several equally good peers the slowest, so that their order does not matter.
        reached = max(peer.best(min(step // 2, len(peer))) for peer in peers if peer[-1] == lowest)
        return losses.best() > reached

    @override
    def __repr__(self) -> str:
        return f"LaggingStopper(min_steps={self.min_steps})"
