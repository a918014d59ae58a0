"""The four most informative plots in one figure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from proxyhpo._report.result import Result
from proxyhpo.plots._agreement import plot_agreement
from proxyhpo.plots._axes import new_figure
from proxyhpo.plots._climb import plot_climb
from proxyhpo.plots._cost import plot_cost
from proxyhpo.plots._curves import plot_curves
from proxyhpo.plots._importance import plot_importance
from proxyhpo.plots._incumbent import plot_incumbent
from proxyhpo.plots._slice import plot_slice

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    Draw = Callable[[Result, Axes], Axes]

__all__ = ["plot_summary"]


def plot_summary(result: Result) -> Figure:
    """A figure of the best value, the promotions, the agreement of rungs, and the importances.

    If the ladder has only the full network, learning curves and costs replace the promotions and
    the agreement. Learning curves also replace an agreement that too few trials support, and the
    values against one hyperparameter replace importances that mean nothing.

    Args:
        result: of a study.
    """
    figure = new_figure(12, 8)
    parts = np.asarray(figure.subfigures(2, 2))
    drawn = {"Best value against cost": plot_incumbent, **_of_rungs(result), **_of_space(result)}
    for part, (title, draw) in zip(parts.flat, drawn.items(), strict=True):
        part.suptitle(title, x=0.02, ha="left", fontweight="bold")
        draw(result, part.subplots())
    return figure


def _of_rungs(result: Result) -> Mapping[str, Draw]:
    """Two plots of what happened on the rungs, by title."""
    if len(result.ladder) == 1:
        return {"Learning curves": plot_curves, "Cost": plot_cost}
    if result.fidelity[-1].verdict == "too little evidence":
        return {"Climb": plot_climb, "Learning curves": plot_curves}
    return {"Climb": plot_climb, "Agreement": plot_agreement}


def _of_space(result: Result) -> Mapping[str, Draw]:
    """The plot that says most about the hyperparameters, by title."""
    if result.importance is not None and result.importance.is_meaningful:
        return {"Importance": plot_importance}
    return {"Values": plot_slice}
