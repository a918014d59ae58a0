"""Which trials were promoted, and whether their order changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from proxyhpo._report.leaderboard import ranks_of
from proxyhpo._report.result import Result
from proxyhpo.plots._axes import BEST, GREY, axes_of, label_of, note

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_climb"]

_TICKS = (1, 2, 3, 5, 10, 20, 30, 50, 100, 200, 500, 1000)
_COLORS = ("#4292c6", "#41ab5d", "#807dba", "#dd6fa5", "#1b9e9e", "#a6761d")


def plot_climb(result: Result, ax: Axes | None = None) -> Axes:
    """The rank of each trial at each rung. Crossing lines are trials whose order changed.

    The best training of the full network is drawn thick. Grey dots were not promoted. Crosses were
    stopped early, and rank behind the others. The line of a control is dashed.

    Args:
        result: of a study.
        ax: where to draw.
    """
    ax = axes_of(ax)
    rungs = range(len(result.ladder))
    if len(rungs) == 1:
        return note(ax, "The ladder has only the full network: no trial is promoted.")
    boards = [result.leaderboard(rung) for rung in rungs]
    if not boards[0]:
        return note(ax, "No training has succeeded yet.")
    ranks = [ranks_of(board) for board in boards]
    climbers = [trial for trial in ranks[0] if any(trial in above for above in ranks[1:])]
    for rung, board in enumerate(boards):
        for state, marker in {"finished": ".", "stopped": "x"}.items():
            left = [r.trial for r in board if r.state == state and r.trial not in climbers]
            places = [ranks[rung][trial] for trial in left]
            ax.plot([rung] * len(left), places, marker, color=GREY, markersize=5, alpha=0.6)
    for number, trial in enumerate(climbers):
        _draw_line(result, ax, ranks, trial, _COLORS[number % len(_COLORS)])
    most = max(map(len, boards))
    ticks = [tick for tick in _TICKS if tick <= most]
    ax.set_yscale("log")
    ax.set_yticks(ticks, [str(tick) for tick in ticks])
    ax.set_yticks([], minor=True)
    ax.set_ylim(1.15 * most, 0.85)
    ax.set_ylabel("rank (1 is the best), log scale")
    ax.set_xticks(list(rungs), [label_of(result, rung).replace(", ", ",\n") for rung in rungs])
    ax.set_xlim(-0.25, len(rungs) - 0.6)
    return ax


def _draw_line(
    result: Result, ax: Axes, ranks: Sequence[Mapping[int, int]], trial: int, color: str
) -> None:
    """The line of a trial, with a segment for each rung that it reached, and its name."""
    is_best = result.best is not None and result.best.trial == trial
    color = BEST if is_best else color
    places = [(rung, on_rung[trial]) for rung, on_rung in enumerate(ranks) if trial in on_rung]
    for (below, rank), (above, next_rank) in pairwise(places):
        ax.plot(
            [below, above],
            [rank, next_rank],
            linestyle="--" if trial in result.history.controls else "-",
            color=color,
            linewidth=3 if is_best else 1.6,
            marker="o",
            markersize=6 if is_best else 4.5,
            zorder=4 if is_best else 3,
        )
    if places[-1][0] < len(ranks) - 1:  # most of these end next to each other
        return
    ax.annotate(
        f"trial {trial}" + (", the best" if is_best else ""),
        places[-1],
        xytext=(8, 0),
        textcoords="offset points",
        va="center",
        fontsize="small",
        color=color,
    )
