"""How long a training with a smaller budget is."""

from __future__ import annotations

__all__ = ["within_budget"]


def within_budget(total: float, budget: float) -> int:
    """The number of epochs, steps or reports of a training on a budget, at least one.

    Args:
        total: the number of a full training.
        budget: fraction of a full training, in (0, 1].

    >>> within_budget(10, 0.25), within_budget(10, 0.01), within_budget(10, 1)
    (2, 1, 10)
    """
    return max(1, round(total * budget))
