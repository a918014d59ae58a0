"""How well two rungs agree on which configs are good."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

from proxyhpo.records import History

__all__ = ["Agreement", "agreements"]


@dataclass(frozen=True)
class Agreement:
    """Rank correlation between two rungs, over the trials that ended well on both.

    With few trials, and those the best ones, it says little: look at ``n``.

    Args:
        lower: index of the cheaper rung.
        upper: index of the dearer rung.
        n: how many trials ended well on both.
        kendall: Kendall's tau-b in [-1, 1]; None with fewer than 3 trials, or if all are equal.
        spearman: Spearman's rho, likewise.
    """

    lower: int
    upper: int
    n: int
    kendall: float | None
    spearman: float | None

    def __str__(self) -> str:
        """In words."""
        if self.kendall is None or self.spearman is None:
            return f"agreement of rungs {self.lower} and {self.upper}: too few trials (n={self.n})"
        return (
            f"agreement of rungs {self.lower} and {self.upper}: Kendall {self.kendall:+.2f}, "
            f"Spearman {self.spearman:+.2f} (n={self.n})"
        )


def agreements(history: History, n_rungs: int) -> list[Agreement]:
    """Between each rung and the next one, and between the first and the last."""
    losses: list[dict[int, float]] = [{} for _ in range(n_rungs)]
    for record in history.records:
        if record.state == "finished" and record.loss is not None:
            losses[record.rung][record.trial] = record.loss
    pairs = [(rung, rung + 1) for rung in range(n_rungs - 1)]
    if n_rungs > 2:
        pairs.append((0, n_rungs - 1))
    found = []
    for lower, upper in pairs:
        both = sorted(losses[lower].keys() & losses[upper].keys())
        x, y = ([losses[rung][trial] for trial in both] for rung in (lower, upper))
        kendall, spearman = rank_correlations(x, y)
        found.append(Agreement(lower, upper, len(both), kendall, spearman))
    return found


def rank_correlations(x: Sequence[float], y: Sequence[float]) -> tuple[float | None, float | None]:
    """Kendall's tau-b and Spearman's rho, or None twice where they are not defined.

    >>> rank_correlations([1, 2, 3, 4], [1, 2, 4, 3])
    (0.6666666666666669, 0.7999999999999999)
    """
    if len(x) < 3:
        return None, None
    from scipy.stats import kendalltau, spearmanr  # noqa: PLC0415 - slow to import

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # constant input gives nan, which is handled
        both = float(kendalltau(x, y).statistic), float(spearmanr(x, y).statistic)
    return (None, None) if any(map(math.isnan, both)) else both
