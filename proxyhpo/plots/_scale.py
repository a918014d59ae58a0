"""The position of the values of a hyperparameter along an axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from proxyhpo._report.result import Result
from proxyhpo.errors import unknown_name
from proxyhpo.plots._axes import text
from proxyhpo.space import Choice
from proxyhpo.space._values import find

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

__all__ = ["Scale", "hyperparameter"]

_RESOLUTION = 40

_WIDE = 100  # a ratio of limits from which powers of ten are enough as labels


def hyperparameter(result: Result, name: str) -> str:
    """The same name, if it was searched.

    Raises:
        UnknownNameError: if it was not; the message lists the names that were.
    """
    if name not in result.space.names:
        raise unknown_name("hyperparameter", name, result.space.names)
    return name


class Scale:
    """The axis of a hyperparameter: numbers on the scale of the space, choices side by side.

    A hyperparameter with a single value is drawn like a choice of one option.

    Args:
        result: of a study.
        name: of the hyperparameter.
    """

    def __init__(self, result: Result, name: str) -> None:
        self.name = hyperparameter(result, name)
        self._domain = result.space[name]

    @property
    def is_choice(self) -> bool:
        """Whether values have no order."""
        return isinstance(self._domain, Choice) or self.is_single

    @property
    def is_single(self) -> bool:
        """Whether there is only one value."""
        return bool(self._domain.size == 1)

    def place(self, value: Any) -> float:
        """The position of a value on the axis."""
        if not self.is_choice:
            return float(value)
        index = find(self._domain.values, value)
        assert index is not None, "a config holds options of its space"
        return float(index)

    def grid(self) -> Sequence[float]:
        """Positions from one end to the other."""
        if self.is_choice:
            return [float(index) for index in range(len(self._domain.values))]
        places = {float(self._domain.decode(f)) for f in np.linspace(0, 1, _RESOLUTION).tolist()}
        return sorted(places)

    def encode(self, place: float) -> float:
        """The position of a grid point in [0, 1], as searchers see it."""
        value = self._domain.values[int(place)] if self.is_choice else place
        encoded: float = self._domain.encode(self._domain.canonical(value))
        return encoded

    def apply(self, ax: Axes, which: Literal["x", "y"]) -> None:
        """Labels an axis and sets its scale."""
        ax.set(**{f"{which}label": text(self.name)})
        if self.is_choice:
            labels = [text(value) for value in self._domain.values]
            places = range(len(labels))
            ax.set(**{f"{which}ticks": places, f"{which}ticklabels": labels})
            ax.set(**{f"{which}lim": (-0.5, len(labels) - 0.5)})
            if which == "x" and sum(map(len, labels)) > 40:
                ax.tick_params("x", labelrotation=30)
        elif self._domain.log:
            ax.set(**{f"{which}scale": "log"})
            _label_log(ax.xaxis if which == "x" else ax.yaxis)


def _label_log(axis: Axis) -> None:
    """Labels a logarithmic axis so that labels neither overlap nor are missing.

    Over less than two decades, matplotlib labels every digit, or one power of ten.
    """
    from matplotlib.ticker import (  # noqa: PLC0415 - optional, and slow to import
        LogLocator,
        MaxNLocator,
        NullFormatter,
        StrMethodFormatter,
    )

    low, high = sorted(axis.get_view_interval())
    axis.set_minor_formatter(NullFormatter())
    if high >= _WIDE * low:
        return
    axis.set_major_locator(MaxNLocator(4) if high < 10 * low else LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
