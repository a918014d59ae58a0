"""What ran when, and how well the workers were used."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import TYPE_CHECKING

from proxyhpo._report.result import Result
from proxyhpo.plots._axes import GREY, axes_of, label_of, legend_above, note, rung_color

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_timeline"]

_UNITS = ((3 * 3600.0, 3600.0, "hours"), (3 * 60.0, 60.0, "minutes"), (0.0, 1.0, "seconds"))


def plot_timeline(result: Result, ax: Axes | None = None) -> Axes:
    """Every training as a bar from its start to its end, with one line per concurrent training.

    Stopped trainings are faded, failed ones grey. Pauses between runs of a resumed study appear as
    gaps. Trainings whose worker died are not shown.

    Args:
        result: of a study.
        ax: where to draw.
    """
    ax = axes_of(ax)
    timed = [
        (record.started_at, max(record.started_at, record.ended_at), record)
        for record in result.records
        if record.started_at is not None and record.ended_at is not None
    ]
    if not timed:
        return note(ax, "No training has a known start and end.")
    timed.sort(key=lambda each: each[:2])
    first, last = timed[0][0], max(ended for _, ended, _ in timed)
    scale, unit = next((s, name) for least, s, name in _UNITS if last - first >= least)
    lanes = _lanes([(started, ended) for started, ended, _ in timed])
    labelled = set()
    for lane, (started, ended, record) in zip(lanes, timed, strict=True):
        failed = record.state == "failed"
        label = "failed" if failed else label_of(result, record.rung)
        ax.barh(
            lane,
            (ended - started) / scale,
            left=(started - first) / scale,
            height=0.8,
            color=GREY if failed else rung_color(result, record.rung),
            alpha=0.4 if record.state == "stopped" else 0.95,
            edgecolor="white",
            linewidth=0.5,
            label=None if label in labelled else label,
        )
        labelled.add(label)
    ax.set_yticks(range(max(lanes) + 1), [f"{lane + 1}" for lane in range(max(lanes) + 1)])
    ax.set_ylim(max(3, *lanes) + 0.6, -0.6)  # keeps a single lane from filling the height
    ax.grid(visible=False, axis="y")
    ax.set_ylabel("running at the same time")
    ax.set_xlabel(f"{unit} since the first training began")
    legend_above(ax)
    return ax


def _lanes(spans: Sequence[tuple[float, float]]) -> list[int]:
    """The lowest free line for each (start, end), in order of starts.

    >>> _lanes([(0, 3), (1, 2), (2, 4), (3, 5)])
    [0, 1, 1, 0]
    """
    free: list[int] = []
    busy: list[tuple[float, int]] = []
    found = []
    for started, ended in spans:
        while busy and busy[0][0] <= started:
            heapq.heappush(free, heapq.heappop(busy)[1])
        lane = heapq.heappop(free) if free else len(busy)
        heapq.heappush(busy, (ended, lane))
        found.append(lane)
    return found
