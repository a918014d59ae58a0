"""The cost of a study, by part."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxyhpo._report.result import Result
from proxyhpo.plots._axes import GREY, axes_of, label_of, legend_above, note, rung_color

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_cost"]


def plot_cost(result: Result, ax: Axes | None = None) -> Axes:
    """The cost of each rung and of the search itself, and the estimated cost of a full search.

    The unit is a base training (one full training of the full network), or seconds if its length is
    unknown.

    Args:
        result: of a study.
        ax: where to draw.
    """
    ax = axes_of(ax)
    cost = result.cost
    if not cost.rungs:
        return note(ax, "Nothing has been trained yet.")
    scale = cost.base_training_seconds or 1.0
    parts = [
        (spent.seconds, label_of(result, rung), rung_color(result, rung))
        for rung, spent in zip(sorted(result.openings), cost.rungs, strict=True)
    ]
    left = 0.0
    for seconds, label, color in [*parts, (cost.overhead_seconds, "search and measuring", GREY)]:
        width = seconds / scale
        ax.barh("this study", width, left=left, color=color, label=label, height=0.6)
        left += width
    saved = ""
    if cost.saved is not None:
        saved = f" ({abs(cost.saved):.0%} {'saved' if cost.saved >= 0 else 'more'})"
    ax.text(left, 0, f" {left:.3g}{saved}", va="center", fontsize="small")
    if cost.full_search_seconds is not None:
        price = cost.full_search_seconds / scale
        ax.barh("full search", price, color="none", edgecolor=GREY, height=0.6)
        ax.text(price, 1, f" {price:.3g}", va="center", fontsize="small")
    ax.margins(x=0.2)
    ax.set_xlim(left=0)
    ax.invert_yaxis()
    ax.grid(visible=False, axis="y")
    ax.set_xlabel("base trainings" if cost.base_training_seconds else "seconds")
    legend_above(ax)
    return ax
