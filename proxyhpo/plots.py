"""Pictures of a result, drawn with matplotlib (``pip install proxyhpo[plots]``).

Each function draws on the axes that it is given, or on new ones, and returns them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from proxyhpo._report.result import Result
from proxyhpo._report.wording import rung_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_agreement", "plot_cost", "plot_hyperparameter"]


def plot_agreement(
    result: Result, ax: Axes | None = None, *, lower: int = 0, upper: int = -1
) -> Axes:
    """The values of the trials that were trained at two rungs, one against the other.

    Args:
        result: of a study.
        ax: where to draw.
        lower: index of the rung along x.
        upper: index of the rung along y; negative ones count from the last.
    """
    ax = _axes(ax)
    x = {record.trial: record.value for record in result.leaderboard(lower)}
    y = {record.trial: record.value for record in result.leaderboard(upper)}
    both = sorted(x.keys() & y.keys())
    ax.scatter([_number(x[trial]) for trial in both], [_number(y[trial]) for trial in both])
    for trial in both:
        ax.annotate(str(trial), (_number(x[trial]), _number(y[trial])))
    ax.set_xlabel(f"value at {_words(result, lower)}")
    ax.set_ylabel(f"value at {_words(result, upper)}")
    return ax


def plot_cost(result: Result, ax: Axes | None = None) -> Axes:
    """What each rung cost and what a full search would have cost, in base trainings."""
    ax = _axes(ax)
    cost = result.cost
    left = 0.0
    for rung, spent in zip(sorted(result.openings), cost.rungs, strict=True):
        width = spent.base_trainings or 0.0
        ax.barh("this study", width, left=left, label=_words(result, rung))
        left += width
    unit = cost.base_training_seconds
    if unit:
        ax.barh("this study", cost.overhead_seconds / unit, left=left, label="overhead")
    ax.barh("full search", cost.full_search_base_trainings or 0.0, color="lightgrey")
    ax.set_xlabel("base trainings")
    ax.legend()
    return ax


def plot_hyperparameter(
    result: Result, name: str, ax: Axes | None = None, *, log: bool = False
) -> Axes:
    """The value of every run against a hyperparameter, in terms of the full network.

    Args:
        result: of a study.
        name: of the hyperparameter; runs in which it is absent are left out.
        ax: where to draw.
        log: whether its axis is logarithmic.
    """
    ax = _axes(ax)
    for rung in sorted(result.openings):
        records = [r for r in result.leaderboard(rung) if name in r.config]
        ax.scatter(
            [record.config[name] for record in records],
            [_number(record.value) for record in records],
            label=_words(result, rung),
        )
    if log:
        ax.set_xscale("log")
    ax.set_xlabel(name)
    ax.set_ylabel("value")
    ax.legend()
    return ax


def _axes(ax: Axes | None) -> Axes:
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt  # noqa: PLC0415 - optional, and slow to import

    new: Any = plt.subplots()[1]
    axes: Axes = new
    return axes


def _words(result: Result, rung: int) -> str:
    return rung_words(result.history, result.ladder, rung % len(result.ladder))


def _number(value: float | None) -> float:
    assert value is not None, "a leaderboard holds no failures"
    return value
