"""The best value found so far against the cost so far."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from proxyhpo._report.incumbent import Incumbents, incumbents, spending
from proxyhpo._report.result import Result
from proxyhpo.plots._axes import (
    BEST,
    FULL,
    GREY,
    axes_of,
    label_of,
    label_values,
    limit_values,
    note,
    rung_color,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_incumbent"]


def plot_incumbent(result: Result, ax: Axes | None = None) -> Axes:
    """The best value so far against the cost, in base trainings (full trainings of your network).

    The thick line is the best trial of the full network, and the star its last step. A trial with
    several seeds has the mean of its values, so that a further seed may make the best value worse.
    Thin lines show the best on each proxy, whose values are not those of the full network. The
    dashed line marks the estimated cost of training every trial on the full network, and the dotted
    one the best known result, if there are any.

    Args:
        result: of a study.
        ax: where to draw.
    """
    ax = axes_of(ax)
    if not any(record.state == "finished" for record in result.records):
        return note(ax, "No training has finished yet.")
    spent, unit = spending(result)
    shown: list[float] = []
    for found in incumbents(result):
        shown += _draw_rung(result, ax, found, spent[-1])
    if result.known:
        value = result.known[0].value
        ax.axhline(value, color=FULL, linestyle=":", linewidth=1.2, label="best known result")
        shown.append(value)
    full_search = result.cost.full_search_base_trainings
    if full_search is not None and len(result.ladder) > 1:
        ax.axvline(full_search, color=GREY, linestyle="--", linewidth=1)
        is_left = full_search < 0.5 * ax.get_xlim()[1]  # then there is room at the right
        ax.annotate(
            f"full search, estimated: {full_search:.3g}",
            (full_search, 0.5),
            xycoords=("data", "axes fraction"),
            xytext=(4 if is_left else -4, 0),
            textcoords="offset points",
            rotation=90,
            ha="left" if is_left else "right",
            va="center",
            color=GREY,
            fontsize="small",
        )
    ax.set_xlim(left=0)
    ax.set_xlabel(f"cost in {unit}")
    label_values(result, ax, prefix="best value so far")
    limit_values(result, ax, shown)
    ax.legend(fontsize="small")
    return ax


def _draw_rung(result: Result, ax: Axes, found: Incumbents, end: float) -> Sequence[float]:
    """Draws the best so far of a rung as steps, and returns the values shown."""
    is_top = found.rung == len(result.ladder) - 1
    ax.step(
        [*found.costs, end],
        [*found.best, found.best[-1]],
        where="post",
        color=rung_color(result, found.rung),
        linewidth=2.2 if is_top else 1.2,
        alpha=1 if is_top else 0.8,
        label=label_of(result, found.rung),
    )
    if not is_top:
        return found.best
    ax.plot(found.costs, found.values, "o", color=FULL, markersize=4.5, alpha=0.8)
    last = (found.reached, found.best[-1])
    ax.scatter(*last, s=160, marker="*", color=BEST, edgecolor=FULL, zorder=5)
    return found.values
