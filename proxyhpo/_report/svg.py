"""Small SVG charts for notebooks, without matplotlib.

Lines and text inherit the color of the surrounding text, so that they are readable on any
background.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from proxyhpo.errors import printable

__all__ = ["FULL", "PROXY", "Steps", "escaped", "step_chart"]

FULL = "#e4572e"
"""The color of the full network."""

PROXY = "#4292c6"
"""The color of proxies."""

_WIDTH, _HEIGHT = 420, 150
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 10, 12, 30


@dataclass(frozen=True)
class Steps:
    """A line of steps.

    Args:
        xs: where each step starts, in order.
        ys: its height.
        color: of the line.
        thick: whether to draw a thick line.
    """

    xs: Sequence[float]
    ys: Sequence[float]
    color: str
    thick: bool = False


def escaped(text: object) -> str:
    """Text for HTML, without control characters."""
    return escape(printable(str(text)))


def step_chart(
    lines: Sequence[Steps], end: float, xlabel: str, *, mark: tuple[float, str] | None = None
) -> str:
    """An SVG element with the lines. The axes are labelled at their ends.

    Args:
        lines: at least one; each continues to ``end``.
        end: the right end of the x axis.
        xlabel: label of the x axis.
        mark: position of a vertical line, and its label.
    """
    right = max(end, mark[0] if mark else 0.0) or 1.0
    heights = [y for line in lines for y in line.ys]
    labels = sorted({min(heights), max(heights)})
    low, high = labels[0], labels[-1]
    if low == high:  # one value, drawn and labelled in the middle
        low, high = low - 0.5, high + 0.5

    def down(y: float) -> float:
        return _HEIGHT - _BOTTOM - (_HEIGHT - _BOTTOM - _TOP) * (y - low) / (high - low)

    def place(x: float, y: float) -> str:
        across = _LEFT + (_WIDTH - _LEFT - _RIGHT) * x / right
        return f"{across:.1f} {down(y):.1f}"

    def path(line: Steps) -> str:
        points = [place(line.xs[0], line.ys[0])]
        for x, before, y in zip(line.xs[1:], line.ys[:-1], line.ys[1:], strict=True):
            points += [place(x, before), place(x, y)]
        points.append(place(end, line.ys[-1]))
        width = 2.5 if line.thick else 1.3
        # The dot shows a line that begins at the right end, where it has no length.
        across, height = points[-1].split()
        return (
            f'<g stroke="{line.color}"><path d="M{" L".join(points)}" stroke-width="{width}"/>'
            f'<circle cx="{across}" cy="{height}" r="{width / 2}" fill="{line.color}"/></g>'
        )

    parts = [f'<path d="M{place(0, high)} L{place(0, low)} L{place(right, low)}" opacity=".4"/>']
    if mark is not None:
        x, words = mark
        across = place(x, low).split()[0]
        parts.append(
            f'<path d="M{place(x, high)} L{place(x, low)}" stroke-dasharray="4 3" opacity=".6"/>'
            f'<g {_TEXT}><text x="{across}" y="9" text-anchor="end">{escaped(words)}</text></g>'
        )
    parts += map(path, lines)
    parts.append(_ticks([(down(y), f"{y:.4g}") for y in labels], right, xlabel))
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" width="100%" role="img" '
        f'style="max-width:{_WIDTH}px" fill="none" stroke="currentColor">{"".join(parts)}</svg>'
    )


_TEXT = 'fill="currentColor" stroke="none" font-size="10" opacity=".8"'


def _ticks(labels: Sequence[tuple[float, str]], right: float, xlabel: str) -> str:
    """The labels of both axes; ``labels`` are those of the y axis, as (position, text)."""
    bottom, edge = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
    texts = [
        *((_LEFT - 4, min(y + 4, bottom), "end", text) for y, text in labels),
        (_LEFT, bottom + 12, "middle", "0"),
        (edge, bottom + 12, "end", f"{right:.3g}"),
        ((_LEFT + edge) / 2, bottom + 24, "middle", xlabel),
    ]
    written = "".join(
        f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escaped(text)}</text>'
        for x, y, anchor, text in texts
    )
    return f"<g {_TEXT}>{written}</g>"
