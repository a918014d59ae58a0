"""Names of rungs and configs in reports, and the layout of tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, final

from typing_extensions import override

from proxyhpo._records.history import History
from proxyhpo._records.rung import Rung

__all__ = ["Text", "config_words", "density_of", "rung_words", "table"]


@final
class Text(str):
    """Text whose repr is the text itself, so that notebooks show its line breaks."""

    __slots__ = ()

    @override
    def __repr__(self) -> str:
        return str(self)


def density_of(history: History, ladder: Sequence[Rung], rung: int) -> float | None:
    """The density of a rung; None if the density for its cost is not known yet."""
    measured = history.measured.get(rung)
    return ladder[rung].density if measured is None else measured.density


def rung_words(history: History, ladder: Sequence[Rung], rung: int) -> str:
    """What is trained at a rung, for example ``density 0.25, budget 0.5``."""
    wanted, density = ladder[rung], density_of(history, ladder, rung)
    if density is None:
        words = f"cost {wanted.cost:.3g}"
    else:
        words = "the full network" if density == 1 else f"density {density:.3g}"
    return words if wanted.budget == 1 else f"{words}, budget {wanted.budget:.3g}"


def config_words(config: Mapping[str, Any]) -> str:
    """A config on one line."""
    return ", ".join(
        f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value!r}"
        for name, value in config.items()
    )


def table(titles: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Lines of a table with aligned columns.

    >>> table(["trial", "value"], [[12, 0.5]])
    ['trial  value', '12     0.5']
    """
    cells = [list(titles), *([str(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]
