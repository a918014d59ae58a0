"""A panel in a notebook that is redrawn while a study runs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, final

from typing_extensions import override

from proxyhpo._progress.displays import Display
from proxyhpo._progress.status import RungStatus, Status
from proxyhpo._report.card import STYLE, chart
from proxyhpo._report.result import Result
from proxyhpo._report.svg import FULL, PROXY, escaped
from proxyhpo.errors import counted

__all__ = ["Panel", "is_notebook", "panel"]

_STYLE = """
.proxyhpo .ladder{display:grid;grid-template-columns:max-content 1fr max-content;gap:4px 10px;
align-items:center;margin:8px 0}
.proxyhpo .track{display:flex;height:12px;border-radius:3px;overflow:hidden;
background:rgba(128,128,128,.2)}
.proxyhpo .track>*{height:100%}
"""


def is_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return shell is not None and hasattr(shell, "kernel")


@final
class Panel(Display):
    """One HTML output that is updated in place; it needs no widgets, and stays in saved notebooks.

    Args:
        result: returns what is known so far.
    """

    def __init__(self, result: Callable[[], Result]) -> None:
        self._result = result
        self._handle: Any = None

    @override
    def interval(self, elapsed: float) -> float:
        return min(5.0, max(0.5, elapsed / 100))

    @override
    def show(self, status: Status) -> None:
        self._draw(panel(status, self._result()))

    @override
    def close(self, status: Status, end: str) -> None:
        self._draw(panel(status, self._result(), ended=end))

    def _draw(self, html: str) -> None:
        from IPython.display import HTML, display  # noqa: PLC0415 - only in a notebook

        content: Any = HTML(html)  # type: ignore[no-untyped-call]  # IPython's
        if self._handle is None:
            self._handle = display(content, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._handle.update(content)


def panel(status: Status, result: Result, *, ended: str = "") -> str:
    """The panel as HTML.

    Args:
        status: of the study.
        result: so far.
        ended: says when the run ended, if it has.
    """
    best = "none yet" if status.best is None else f"{status.best:.6g}"
    rows = "".join(
        _rung(rung, FULL if number == len(status.rungs) - 1 else PROXY)
        for number, rung in enumerate(status.rungs)
    )
    state = ended or f"{counted(status.running, 'training')} running"
    return (
        f'<style>{STYLE}{_STYLE}</style><div class="proxyhpo proxyhpo-card">'
        f'<p class="title">best on the full network so far</p><div class="big">{best}</div>'
        f'<div class="ladder">{rows}</div><div class="columns"><div>'
        f"<dl><dt>state</dt><dd>{escaped(state)}</dd>{'' if ended else _left(status)}"
        f"<dt>cost</dt><dd>{escaped(status.price)}</dd></dl>"
        f"</div><div>{chart(result)}</div></div></div>"
    )


def _rung(rung: RungStatus, color: str) -> str:
    """A row of the ladder: its name, a bar, and the count."""
    parts = [
        (rung.finished, f"background:{color}"),
        (rung.stopped, f"background:{color};opacity:.45"),
        (rung.failed, "background:#8c8c8c"),
        (
            rung.running,
            f"background:repeating-linear-gradient(45deg,{color} 0 4px,transparent 4px 8px)",
        ),
    ]
    total = max(1, rung.ended + rung.open)
    bars = "".join(
        f'<div style="width:{100 * count / total:.1f}%;{style}"></div>'
        for count, style in parts
        if count
    )
    kinds = [("stopped", rung.stopped), ("failed", rung.failed), ("running", rung.running)]
    said = "".join(f", {count} {name}" for name, count in kinds if count)
    counted = f"{rung.ended} done" if rung.expected is None else f"{rung.ended} of {rung.expected}"
    return (
        f'<div>{escaped(rung.words)}</div><div class="track">{bars}</div><div>{counted}{said}</div>'
    )


def _left(status: Status) -> str:
    return f"<dt>time</dt><dd>{status.time_left}</dd>" if status.time_left else ""
