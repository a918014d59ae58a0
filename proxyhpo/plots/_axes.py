"""What all plots share: axes, colors, labels, and limits that ignore outliers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from proxyhpo._report.result import Result
from proxyhpo._report.wording import rung_words
from proxyhpo.errors import missing_library, printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

__all__ = [
    "BEST",
    "FULL",
    "GREY",
    "axes_of",
    "label_of",
    "label_values",
    "legend_above",
    "limit_values",
    "new_figure",
    "note",
    "rank_colors",
    "rung_color",
    "text",
    "tidy",
]

FULL = "#e4572e"
"""The color of the full network."""

BEST = "#f2b134"
"""The color of the best training."""

GREY = "#8c8c8c"
"""A color for what matters less; it can be read on white and on black."""

_PROXIES = ("#9ecae1", "#3182bd")  # of the narrowest and of the widest
_ONE_PROXY = "#4292c6"

_LONGEST = 28

_FEW = 8  # values, of which none can be called unusual


def new_figure(width: float = 6.4, height: float = 4.0, **options: Any) -> Figure:
    """A new figure of pyplot's, so that scripts and notebooks show it.

    Raises:
        ImportError: if matplotlib is not installed.
    """
    try:
        import matplotlib.pyplot as plt  # noqa: PLC0415 - optional, and slow to import

        from proxyhpo.plots._figure import ShownOnce  # noqa: PLC0415 - likewise
    except ImportError as error:
        raise missing_library("a plot", "matplotlib", "plots") from error

    size = (width, height)
    return plt.figure(figsize=size, layout="constrained", FigureClass=ShownOnce, **options)


def axes_of(ax: Axes | None) -> Axes:
    """The axes given, or new ones."""
    return tidy(new_figure().subplots() if ax is None else ax)


def rank_colors() -> Colormap:
    """From the best rank, at 0, to the worst, at 1; readable on white and on black."""
    from matplotlib.colors import LinearSegmentedColormap  # noqa: PLC0415 - optional

    return LinearSegmentedColormap.from_list("ranks", [FULL, BEST, "#7fb3c8", "#a9b4bd"])


def legend_above(ax: Axes) -> None:
    """A legend on one line above the axes, where it hides nothing."""
    ax.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=4,
        frameon=False,
        fontsize="small",
        borderpad=0,
    )


def tidy(ax: Axes) -> Axes:
    """The axes with a grid, and without the lines at the top and at the right."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(alpha=0.25, linewidth=0.6)
    ax.set_axisbelow(True)
    return ax


def note(ax: Axes, why: str) -> Axes:
    """Axes that say why they are empty."""
    ax.set_axis_off()
    ax.text(0.5, 0.5, why, ha="center", va="center", color=GREY, transform=ax.transAxes, wrap=True)
    return ax


def rung_color(result: Result, rung: int) -> str:
    """The color of a rung: blue for proxies, the darker the wider; one color for the full network.

    A rung that trains the full network for a part of its budget counts as a proxy.
    """
    import matplotlib.colors as mc  # noqa: PLC0415 - optional

    lower = len(result.ladder) - 1
    if rung == lower:
        return FULL
    if lower == 1:
        return _ONE_PROXY
    ends = np.array([mc.to_rgb(color) for color in _PROXIES])
    return mc.to_hex(ends[0] + (ends[1] - ends[0]) * rung / (lower - 1))


def label_of(result: Result, rung: int) -> str:
    """What is trained at a rung, such as ``density 0.25``; a rung that repeats another says so."""
    words = [rung_words(result.history, result.ladder, index) for index in range(rung + 1)]
    return f"{words[-1]}, again" if words[-1] in words[:-1] else words[-1]


def text(given: object) -> str:
    r"""A user's text as a label: short, without control characters, and no formula.

    >>> text("cost in $")
    'cost in \\$'
    """
    shown = printable(str(given)).replace("\n", " ")
    if len(shown) > _LONGEST:
        shown = f"{shown[: _LONGEST - 1]}…"
    return shown.replace("$", r"\$")


def label_values(result: Result, ax: Axes, which: str = "y", prefix: str = "value") -> None:
    """Labels an axis of values with the direction in which they are better."""
    better = "lower" if result.direction == "minimize" else "higher"
    ax.set(**{f"{which}label": f"{prefix} ({better} is better)"})


def limit_values(result: Result, ax: Axes, values: Sequence[float], which: str = "y") -> None:
    """Limits an axis to the values that can be compared, and says how many lie beyond.

    A training that exploded may be worse by many orders of magnitude than all others.
    """
    if len(values) < _FEW:
        return
    low, high = _usual_range(np.asarray(values, float), result.direction)
    beyond = sum(not low <= value <= high for value in values)
    if not beyond:
        return
    margin = 0.05 * (high - low) or 1.0
    ax.set(**{f"{which}lim": (low - margin, high + margin)})
    worst = 1.0 if result.direction == "minimize" else 0.0
    place = (1.0, worst) if which == "y" else (worst, 1.0)
    ax.annotate(
        f"{beyond} beyond this axis",
        place,
        xycoords="axes fraction",
        ha="right" if place[0] else "left",
        va="top" if place[1] else "bottom",
        fontsize="small",
        color=GREY,
    )


def _usual_range(
    values: np.ndarray[Any, np.dtype[np.float64]], direction: str
) -> tuple[float, float]:
    """From the best value to the worst, or to five times the span of the best three quarters."""
    sign = 1 if direction == "minimize" else -1
    losses = np.sort(sign * values)
    best = losses[0]
    limit = best + 5 * (losses[(3 * (len(losses) - 1)) // 4] - best)
    worst = losses[losses <= limit][-1] if limit > best else losses[-1]
    low, high = sorted((float(sign * best), float(sign * worst)))
    return low, high
