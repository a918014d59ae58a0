"""Configs as lines across all hyperparameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from proxyhpo._report.result import Result
from proxyhpo.plots._axes import GREY, axes_of, label_of, note, rank_colors, text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_parallel"]

_MANY = 8  # up to this many values of a hyperparameter, each has a label


def plot_parallel(result: Result, ax: Axes | None = None, *, rung: int = 0) -> Axes:
    """Every config of a rung as a line across the hyperparameters; the redder, the better.

    The last column is the rank. Trials that reached the full network are drawn thick, stopped ones
    faded. A line is interrupted where a hyperparameter is inactive.

    Args:
        result: of a study.
        ax: where to draw.
        rung: whose trainings are shown; negative ones count from the last.

    Raises:
        ArgumentError: if there is no such rung.
    """
    ax = axes_of(ax)
    board = result.leaderboard(rung)
    if not board:
        return note(ax, "No training has succeeded yet.")
    names = result.space.names
    finalists = {record.trial for record in result.leaderboard()}
    colors = rank_colors()
    for rank, record in reversed(list(enumerate(board))):
        place = rank / max(1, len(board) - 1)
        encoded = np.append(result.space.encode(record.config), 1 - place)
        encoded[:-1][[name not in record.config for name in names]] = np.nan
        is_finalist = record.trial in finalists and len(result.ladder) > 1
        ax.plot(
            range(len(names) + 1),
            encoded,
            color=colors(place),
            linewidth=2.4 if is_finalist else 1,
            alpha=0.3 if record.state == "stopped" else 0.9,
        )
    _label(result, ax, len(board))
    ax.set_title(f"{len(board)} trainings, {label_of(result, rung % len(result.ladder))}")
    ax.title.set_fontsize("small")
    return ax


def _label(result: Result, ax: Axes, count: int) -> None:
    """An upright line for each hyperparameter, with values beside it."""
    names = result.space.names
    for column, name in enumerate([*names, None]):
        ax.axvline(column, color=GREY, linewidth=0.8, zorder=0)
        labels = {0.0: f"{count}", 1.0: "1"} if name is None else _values(result.space[name])
        for place, label in labels.items():
            ax.annotate(
                label,
                (column, place),
                xytext=(3, 0),
                textcoords="offset points",
                fontsize="small",
                va="center",
                zorder=5,
            )
    ax.set_xticks(range(len(names) + 1), [*map(text, names), "rank"])
    ax.set_yticks([])
    ax.grid(visible=False)
    ax.spines[["left", "bottom"]].set_visible(False)


def _values(domain: Any) -> dict[float, str]:
    """Position in [0, 1] → label."""
    if domain.size <= _MANY:
        return {domain.encode(value): text(value) for value in domain.values}
    return {place: text(_short(domain.decode(place))) for place in (0.0, 0.5, 1.0)}


def _short(value: Any) -> Any:
    return f"{value:.3g}" if isinstance(value, float) else value
