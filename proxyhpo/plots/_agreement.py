"""Whether a cheap rung ranks configs like an expensive one, compared with the noise ceiling."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from proxyhpo._report.fidelity import Fidelity, between, losses_of_another_seed
from proxyhpo._report.result import Result
from proxyhpo.errors import ArgumentError
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

__all__ = ["plot_agreement"]


def plot_agreement(
    result: Result, ax: Axes | None = None, *, lower: int = 0, upper: int = -1
) -> Axes:
    """Scatter plot of the values of the trials that finished at two rungs.

    The title gives the rank correlation with its interval and the verdict. A second seed of the
    upper rung, such as ``check(second_seed=True)`` trains, is the noise ceiling: no proxy can be
    expected to agree better with the full network than the full network does with itself.

    Args:
        result: of a study.
        ax: where to draw.
        lower: index of the rung on the x axis; negative indices count from the end.
        upper: index of the rung on the y axis, likewise.

    Raises:
        ArgumentError: if there is no such rung, or both are the same.
    """
    ax = axes_of(ax)
    if len(result.ladder) == 1:
        return note(ax, "The ladder has only the full network: there is no proxy to compare.")
    below, above = _rung(result, "lower", lower), _rung(result, "upper", upper)
    if below == above:
        raise ArgumentError(f"lower and upper are both rung {below}; compare two rungs")
    x, y = _values(result, below), _values(result, above)
    both = sorted(x.keys() & y.keys())
    if not both:
        return note(ax, "No trial has finished on both rungs yet.")
    again = losses_of_another_seed(result.history, result.ladder, below, above)
    sign = 1 if result.direction == "minimize" else -1
    twice = [trial for trial in both if trial in again]
    if twice:
        ax.scatter(
            [sign * again[trial] for trial in twice],
            [y[trial] for trial in twice],
            color=GREY,
            marker="+",
            label="another seed",
        )
    color = rung_color(result, below)
    xs, ys = [x[trial] for trial in both], [y[trial] for trial in both]
    ax.scatter(xs, ys, color=color, zorder=3, label=label_of(result, below))
    if result.best is not None and result.best.trial in both and above == len(result.ladder) - 1:
        best = result.best.trial
        ax.scatter(x[best], y[best], s=160, marker="*", color=BEST, edgecolor=FULL, zorder=4)
    for trial in both:
        ax.annotate(
            str(trial),
            (x[trial], y[trial]),
            xytext=(4, 4),
            textcoords="offset points",
            fontsize="x-small",
            color=GREY,
        )
    label_values(result, ax, "x", label_of(result, below))
    label_values(result, ax, "y", label_of(result, above))
    limit_values(result, ax, xs, "x")
    limit_values(result, ax, ys, "y")
    ax.margins(0.12)
    ax.locator_params(nbins=6)
    ax.set_title(
        _said(between(result.history, result.ladder, *sorted((below, above)))), fontsize="small"
    )
    if twice:
        ax.legend(fontsize="small")
    return ax


def _rung(result: Result, argument: str, index: int) -> int:
    if not isinstance(index, int) or not -len(result.ladder) <= index < len(result.ladder):
        raise ArgumentError(
            f"{argument} must be the index of a rung, below {len(result.ladder)}, got {index!r}"
        )
    return index % len(result.ladder)


def _values(result: Result, rung: int) -> Mapping[int, float]:
    return {
        record.trial: record.value
        for record in result.leaderboard(rung)
        if record.state == "finished" and record.value is not None and not record.replicate
    }


def _said(fidelity: Fidelity) -> str:
    """The verdict and its evidence."""
    if fidelity.spearman is None:
        return f"{fidelity.verdict} (n={fidelity.n})"
    lines = [f"{fidelity.verdict} (n={fidelity.n})", f"Spearman {fidelity.spearman}"]
    if fidelity.ceiling is not None and fidelity.ceiling.spearman is not None:
        lines.append(f"another seed, the noise ceiling: {fidelity.ceiling.spearman}")
    return "\n".join(lines)
