"""The best value found against what had been spent by then."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

from proxyhpo._records.records import Record
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

    The thick line is the best training of the full network. Thin lines show the best on each proxy,
    in terms of the proxy: a narrower network has other values. The dashed line marks what training
    every trial on the full network would have cost.

    Args:
        result: of a study.
        ax: where to draw.
    """
    ax = axes_of(ax)
    if not any(record.value is not None for record in result.records):
        return note(ax, "No training has succeeded yet.")
    spent, unit = _spending(result)
    shown: list[float] = []
    for rung in range(len(result.ladder)):
        shown += _draw_rung(result, ax, rung, spent)
    full_search = result.cost.full_search_base_trainings
    if result.best is not None:
        place = next(i for i, record in enumerate(result.records) if record is result.best)
        ax.scatter(
            spent[place], result.best_value, s=160, marker="*", color=BEST, edgecolor=FULL, zorder=5
        )
    if full_search is not None and len(result.ladder) > 1:
        ax.axvline(full_search, color=GREY, linestyle="--", linewidth=1)
        ax.annotate(
            f"full search: {full_search:.3g}",
            (full_search, 0.5),
            xycoords=("data", "axes fraction"),
            xytext=(-4, 0),
            textcoords="offset points",
            rotation=90,
            ha="right",
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


def _draw_rung(result: Result, ax: Axes, rung: int, spent: Sequence[float]) -> list[float]:
    """Draws the best so far of a rung as steps, and returns the values shown."""
    ended = [
        (cost, record)
        for cost, record in zip(spent, result.records, strict=True)
        if record.rung == rung and record.state == "finished"
    ]
    if not ended:
        return []
    best = list(accumulate((record for _, record in ended), _better))
    is_top = rung == len(result.ladder) - 1
    values = [_value(record) for record in best]
    ax.step(
        [*(cost for cost, _ in ended), spent[-1]],
        [*values, values[-1]],
        where="post",
        color=rung_color(result, rung),
        linewidth=2.2 if is_top else 1.2,
        alpha=1 if is_top else 0.8,
        label=label_of(result, rung),
    )
    if not is_top:
        return values
    every = [_value(record) for _, record in ended]
    ax.plot([cost for cost, _ in ended], every, "o", color=FULL, markersize=4.5, alpha=0.8)
    return every


def _spending(result: Result) -> tuple[list[float], str]:
    """What had been spent when each training had ended, and the unit.

    The search is charged in equal parts to the trials, and measuring before the first.
    """
    cost = result.cost
    unit = cost.base_training_seconds
    search = cost.search_seconds / (cost.n_trials or 1)
    seconds = list(accumulate(r.seconds + (search if r.rung == 0 else 0.0) for r in result.records))
    scale = unit or 1.0
    words = "base trainings" if unit else "seconds"
    return [(cost.measuring_seconds + each) / scale for each in seconds], words


def _better(best: Record, other: Record) -> Record:
    assert best.loss is not None, "a finished record has a loss"
    assert other.loss is not None, "a finished record has a loss"
    return other if other.loss < best.loss else best


def _value(record: Record) -> float:
    assert record.value is not None, "a finished record has a value"
    return record.value
