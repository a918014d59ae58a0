"""Pages of docs/benchmarks: hand-written text is kept, generated text is replaced."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["blank_figure", "save_svg", "write_page"]


def write_page(page: Path, command: str, lines: Iterable[str], title: str = "") -> None:
    """Replaces the text below a page's mark, or creates the page.

    Args:
        page: its path; the folder is created.
        command: the command that writes it, for the mark.
        lines: its results, as markdown.
        title: heading of a new page.
    """
    mark = f"<!-- below: written by {command} -->"
    page.parent.mkdir(parents=True, exist_ok=True)
    heading = f"# {title}\n\n" if title else ""
    by_hand = page.read_text() if page.exists() else heading
    page.write_text("\n".join([by_hand.partition(mark)[0] + mark, "", *lines]).rstrip() + "\n")


def blank_figure(width: float, height: float) -> Figure:
    """An empty figure of this size in inches."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - slow to import

    return Figure(figsize=(width, height), layout="constrained")


def save_svg(figure: Figure, path: Path) -> None:
    """Saves a figure, so that equal figures give equal files."""
    from matplotlib import rc_context  # noqa: PLC0415 - slow to import

    with rc_context({"svg.hashsalt": path.stem}):
        figure.savefig(path, metadata={"Date": None})
