"""The four most informative plots in one figure."""

from __future__ import annotations

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

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_summary"]


def plot_summary(result: Result) -> Figure:
    """A figure of the best value, the promotions, the agreement of rungs, and the importances.

    If the ladder has only the full network, learning curves and costs replace the promotions and
    the agreement.

    Args:
        result: of a study.
    """
    figure = new_figure(12, 8)
    parts = np.asarray(figure.subfigures(2, 2))
    climbs = len(result.ladder) > 1
    drawn = {
        "Best value against cost": plot_incumbent,
        **({"Climb": plot_climb} if climbs else {"Learning curves": plot_curves}),
        **({"Agreement": plot_agreement} if climbs else {"Cost": plot_cost}),
        "Importance": plot_importance,
    }
    for part, (title, draw) in zip(parts.flat, drawn.items(), strict=True):
        part.suptitle(title, x=0.02, ha="left", fontweight="bold")
        draw(result, part.subplots())
    return figure
