"""Values against one hyperparameter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

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
from proxyhpo.plots._scale import Scale

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_slice"]

_JITTER = 0.12  # fraction of an option's width, so that points do not hide each other


def plot_slice(result: Result, ax: Axes | None = None, *, name: str | None = None) -> Axes:
    """The value of every training against one hyperparameter, in terms of the full network.

    The star is the best config on the full network, at the mean over its seeds. Strokes at the
    worse end of the axis are stopped trainings, whose last values belong to an early step. Crosses
    are failed trainings. On proxies of another width the best values of a hyperparameter may lie
    elsewhere. If the transfer corrects for that, the config before the correction is shown.

    Args:
        result: of a study.
        ax: where to draw.
        name: of the hyperparameter; by default the most important one. Trainings in which it is
            inactive are omitted.

    Raises:
        UnknownNameError: if there is no such hyperparameter.
    """
    ax = axes_of(ax)
    scale = Scale(result, result.most_important(1)[0] if name is None else name)
    shown: list[float] = []
    for rung in range(len(result.ladder)):
        here = [r for r in result.records if r.rung == rung and scale.name in r.config]
        shown += _draw(result, ax, scale, here, rung)
    if not shown:
        return note(ax, "No training has finished yet.")
    if result.best is not None and scale.name in result.best.config:
        place = scale.place(result.best.config[scale.name])
        ax.scatter(
            place, result.best_value, s=160, marker="*", color=BEST, edgecolor=FULL, zorder=5
        )
    scale.apply(ax, "x")
    label_values(result, ax)
    limit_values(result, ax, shown)
    ax.legend(fontsize="small")
    return ax


def _draw(result: Result, ax: Axes, scale: Scale, records: list[Record], rung: int) -> list[float]:
    """Draws the trainings of a rung, and returns the values shown."""
    color = rung_color(result, rung)
    aside = np.random.default_rng(rung).uniform(-_JITTER, _JITTER, len(records)) * scale.is_choice
    places = [scale.place(r.config[scale.name]) + a for r, a in zip(records, aside, strict=True)]
    finished = [
        (place, record.value)
        for place, record in zip(places, records, strict=True)
        if record.state == "finished" and record.value is not None
    ]
    if finished:
        ax.scatter(
            [place for place, _ in finished],
            [value for _, value in finished],
            s=26,
            color=color,
            alpha=0.85,
            label=label_of(result, rung),
            zorder=2 + rung,
        )
    edge = 0.98 if result.direction == "minimize" else 0.02
    for state, marker, tone in (("stopped", "|", color), ("failed", "x", GREY)):
        ended = [p for p, record in zip(places, records, strict=True) if record.state == state]
        heights = [edge] * len(ended)
        across = ax.get_xaxis_transform()  # x in data, y as a fraction of the axes
        ax.plot(ended, heights, marker, transform=across, color=tone, alpha=0.6, markersize=6)
    return [value for _, value in finished]
