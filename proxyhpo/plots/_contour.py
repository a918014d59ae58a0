"""Values over two hyperparameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from proxyhpo._report.result import Result
from proxyhpo.errors import ArgumentError
from proxyhpo.plots._axes import BEST, FULL, axes_of, label_of, note, rank_colors
from proxyhpo.plots._scale import Scale

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_contour"]

_TOO_FEW = "A contour needs two hyperparameters with more than one value."
_FEWEST = 5
_SMOOTHING = 0.1


def plot_contour(
    result: Result,
    ax: Axes | None = None,
    *,
    names: tuple[str, str] | None = None,
    rung: int = 0,
) -> Axes:
    """The ranks of the trainings at a rung over two hyperparameters; the redder, the better.

    The surface interpolates the ranks smoothly, so that diverged trainings do not hide the rest.
    The other hyperparameters are ignored, so neighbours may differ. The star is the best training
    of the full network.

    Args:
        result: of a study.
        ax: where to draw.
        names: of the two hyperparameters; by default the two most important ones.
        rung: whose trainings are shown; negative ones count from the last.

    Raises:
        ArgumentError: if ``names`` are not two different hyperparameters, or there is no such rung.
    """
    ax = axes_of(ax)
    if names is None and len(result.space.names) == 1:
        return note(ax, _TOO_FEW)
    across, up = _scales(result, result.most_important(2) if names is None else names)
    if across.is_single or up.is_single:
        return note(ax, _TOO_FEW)
    records = [
        record
        for record in result.leaderboard(rung)
        if record.state == "finished" and {across.name, up.name} <= record.config.keys()
    ]
    if len(records) < _FEWEST:
        return note(ax, f"A contour needs {_FEWEST} finished trainings on the rung.")
    xs = [across.place(record.config[across.name]) for record in records]
    ys = [up.place(record.config[up.name]) for record in records]
    ranks, colors = np.linspace(0, 1, len(records)), rank_colors()
    grid_x, grid_y = across.grid(), up.grid()
    surface = _interpolated(
        [(across.encode(x), up.encode(y)) for x, y in zip(xs, ys, strict=True)],
        ranks,
        [[(across.encode(x), up.encode(y)) for x in grid_x] for y in grid_y],
    )
    if across.is_choice or up.is_choice:
        ax.pcolormesh(grid_x, grid_y, surface, shading="nearest", cmap=colors, alpha=0.75)
    else:
        ax.contourf(grid_x, grid_y, surface, levels=12, cmap=colors, alpha=0.75)
    ax.scatter(xs, ys, c=ranks, cmap=colors, edgecolor="white", s=32, linewidth=0.8)
    if result.best is not None and {across.name, up.name} <= result.best.config.keys():
        x, y = (scale.place(result.best.config[scale.name]) for scale in (across, up))
        ax.scatter(x, y, s=180, marker="*", color=BEST, edgecolor=FULL, zorder=4)
    across.apply(ax, "x")
    up.apply(ax, "y")
    ax.grid(visible=False)
    where = label_of(result, rung % len(result.ladder))
    ax.set_title(f"rank of {len(records)} trainings, {where}", fontsize="small")
    return ax


def _scales(result: Result, names: Sequence[str]) -> tuple[Scale, Scale]:
    if isinstance(names, str) or len(names) != 2 or names[0] == names[1]:
        raise ArgumentError(f"names must be two different hyperparameters, got {names!r}")
    return Scale(result, names[0]), Scale(result, names[1])


def _interpolated(points: Any, ranks: Any, grid: Any) -> Any:
    """The ranks on a grid of points in the unit square, smoothed and never beyond [0, 1]."""
    from scipy.interpolate import RBFInterpolator  # noqa: PLC0415 - slow to import

    points = np.asarray(points)
    places = np.asarray(grid)
    # Trainings at the same point get their mean rank, which the interpolation requires.
    unique, which = np.unique(points, axis=0, return_inverse=True)
    means = np.bincount(which.ravel(), ranks) / np.bincount(which.ravel())
    surface = RBFInterpolator(unique, means, kernel="linear", smoothing=_SMOOTHING, degree=0)
    return surface(places.reshape(-1, 2)).reshape(places.shape[:2]).clip(0, 1)
