"""What trainings reported, step by step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxyhpo._report.result import Result
from proxyhpo.plots._axes import axes_of, label_of, label_values, limit_values, note, rung_color

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_curves"]


def plot_curves(result: Result, ax: Axes | None = None, *, rung: int | None = None) -> Axes:
    """The learning curve of every training, by rung.

    Stopped trainings are faded and end in a cross.

    Args:
        result: of a study.
        ax: where to draw.
        rung: index of the only rung to show; negative ones count from the last. By default all.

    Raises:
        ArgumentError: if there is no such rung.
    """
    ax = axes_of(ax)
    every = range(len(result.ladder))
    shown: list[float] = []
    for index in every if rung is None else [range(len(every))[rung]]:
        board = result.leaderboard(index)
        color = rung_color(result, index)
        for number, record in enumerate(reversed(board)):  # the best are drawn last
            stopped = record.state == "stopped"
            steps = range(1, len(record.values) + 1)
            ax.plot(
                steps,
                record.values,
                color=color,
                linewidth=1 if stopped else 1.3,
                alpha=0.35 if stopped else 0.85,
                marker="x" if stopped else "o",
                markersize=5 if stopped else 3,
                markevery=[len(steps) - 1],
                zorder=2 + index,
                label=label_of(result, index) if number == len(board) - 1 else None,
            )
            shown += record.values
    if not shown:
        return note(ax, "No training has succeeded yet.")
    ax.set_xlabel("report")
    ax.locator_params("x", integer=True)
    label_values(result, ax)
    limit_values(result, ax, shown)
    ax.legend(fontsize="small")
    return ax
