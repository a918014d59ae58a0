"""Pages of docs/benchmarks: what people wrote stays, what a command found is replaced."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["blank_figure", "write_page"]


def write_page(page: Path, command: str, lines: Iterable[str], introduction: str = "") -> None:
    """Replaces what stands below a page's mark, or makes the page.

    Args:
        page: its path; the folder is made.
        command: that writes it, for the mark.
        lines: what it has found, as markdown.
        introduction: stands above the mark of a new page.
    """
    mark = f"<!-- below: written by {command} -->"
    page.parent.mkdir(parents=True, exist_ok=True)
    by_hand = page.read_text() if page.exists() else f"{introduction.strip()}\n\n"
    page.write_text("\n".join([by_hand.partition(mark)[0] + mark, "", *lines]).rstrip() + "\n")


def blank_figure(width: float, height: float) -> Figure:
    """An empty figure of so many inches."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - slow to import

    return Figure(figsize=(width, height), layout="constrained")
