"""When to end a search: the expected gain of one more trial.

Cost-aware stopping (Xie et al., arXiv:2507.12453) ends a search when the best expected improvement
per cost falls below what an improvement is worth. That method uses the posterior of a model. Here
the improvement is estimated from the losses of the last trials, so it works with any searcher.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, pstdev

__all__ = ["expected_gain"]

_FEWEST = 10
_LAST = 20


def expected_gain(losses: Sequence[float]) -> float | None:
    """By how much the next trial is expected to improve on the best one so far.

    The next loss is drawn from those of the last 20 trials, of which the better half is smoothed by
    normal kernels (Silverman's width). The worse half, which may contain diverged trainings, cannot
    give an improvement.

    Args:
        losses: of the trials so far, in order; lower is better.

    Returns:
        The mean improvement, counting none as 0; None for fewer than 10 trials.

    >>> expected_gain([0.5] * 20)
    0.0
    >>> expected_gain([0.9, 0.8, 0.7, 0.6, 0.5])
    """
    if len(losses) < _FEWEST:
        return None
    last = losses[-_LAST:]
    better = sorted(last)[: math.ceil(len(last) / 2)]
    width = 1.06 * pstdev(better) * len(better) ** -0.2
    best = min(losses)
    gains = [_improvement(best - loss, width) for loss in better]
    return fmean(gains) * len(better) / len(last)


def _improvement(lead: float, width: float) -> float:
    """The mean of the positive part of a normal variable with this mean and deviation."""
    if width == 0:
        return max(0.0, lead)
    z = lead / width
    density = math.exp(-z * z / 2) / math.sqrt(2 * math.pi)
    return lead * (1 + math.erf(z / math.sqrt(2))) / 2 + width * density
