"""Which hyperparameters matter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxyhpo._report.importance import FEWEST, importance_of
from proxyhpo._report.result import Result
from proxyhpo.plots._axes import GREY, axes_of, label_of, note, rung_color, text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_importance"]


def plot_importance(result: Result, ax: Axes | None = None, *, rung: int | None = None) -> Axes:
    """How much the order of the configs depends on each hyperparameter.

    The bars are permutation importances of a random forest from scikit-learn: how much its R² on
    unseen configs falls when a hyperparameter is shuffled. The lines are the middle 90 % over
    folds and shuffles. Configs are in terms of the full network, and the forest predicts ranks.

    Args:
        result: of a study.
        ax: where to draw.
        rung: whose trainings count; by default the one with the most.
    """
    ax = axes_of(ax)
    found = result.importance if rung is None else importance_of(result, rung % len(result.ladder))
    if found is None:
        return note(ax, f"Importance needs {FEWEST} finished trainings on one rung.")
    names = [text(name) for name in found.decrease]
    mean, low, high = zip(*found.decrease.values(), strict=True)
    ax.barh(range(len(names)), mean, color=rung_color(result, found.rung), height=0.6)
    ax.hlines(range(len(names)), low, high, color=GREY, linewidth=1.5)
    ax.axvline(0, color=GREY, linewidth=0.8)
    ax.set_yticks(range(len(names)), names)
    ax.invert_yaxis()
    ax.grid(visible=False, axis="y")
    ax.set_xlabel("decrease of R² when shuffled")
    where = f"{found.n} trainings, {label_of(result, found.rung)}"
    doubt = "" if found.is_meaningful else "\nthe forest predicts nothing: ignore the bars"
    ax.set_title(f"{where}: R² on unseen configs {found.score:.2f}{doubt}", fontsize="small")
    return ax
