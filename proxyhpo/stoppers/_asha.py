"""Asynchronous successive halving over the steps of a training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

from typing_extensions import override

from proxyhpo._validation import check_whole, suggesting
from proxyhpo.stoppers._interface import Curve, Stopper

__all__ = ["ASHAStopper"]


@final
class ASHAStopper(Stopper):
    """Lets only the best ``1 / reduction`` continue at each of a few steps, at growing intervals.

    This is asynchronous successive halving (Li et al., arXiv:1810.05934) as a stopping rule.
    Trainings are judged after ``min_steps``, ``min_steps * reduction``, ``min_steps *
    reduction**2``, ... steps. A training continues if its loss there is among the best ``1 /
    reduction`` of all trainings that reached the step, including itself. At least the best one
    continues. This is the most aggressive rule: every judged step ends all other trainings, so
    losses at the first one must be informative.

    Args:
        min_steps: the first step that is judged.
        reduction: one in this many continues.

    Raises:
        ArgumentError: unless ``min_steps`` is a whole number >= 1 and ``reduction`` one >= 2.

    >>> peers = [Curve([loss, loss / 2]) for loss in (1.0, 2.0, 3.0, 4.0, 5.0)]
    >>> stopper = ASHAStopper(reduction=3)  # two of six continue after steps 1, 3, 9, ...
    >>> stopper.should_stop(Curve([1.5]), peers), stopper.should_stop(Curve([2.5]), peers)
    (False, True)
    """

    @suggesting
    def __init__(self, *, min_steps: int = 1, reduction: int = 3) -> None:
        self.min_steps = check_whole("min_steps", min_steps, 1)
        self.reduction = check_whole("reduction", reduction, 2)

    @override
    def should_stop(self, losses: Curve, peers: Sequence[Curve]) -> bool:
        step = len(losses)
        if not self._is_judged(step):
            return False
        there = [peer[step - 1] for peer in peers if len(peer) >= step]
        better = sum(loss < losses[-1] for loss in there)
        return better >= max(1, (len(there) + 1) // self.reduction)

    def _is_judged(self, step: int) -> bool:
        judged = self.min_steps
        while judged < step:
            judged *= self.reduction
        return judged == step

    @override
    def __repr__(self) -> str:
        return f"ASHAStopper(min_steps={self.min_steps}, reduction={self.reduction})"
