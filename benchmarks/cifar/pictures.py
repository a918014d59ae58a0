"""Draws the pictures of docs/benchmarks/cifar.md."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.cifar.fidelity import best_rates
from benchmarks.cifar.findings import COMPARED, Findings, by_optimizer, judged, mean_points
from benchmarks.cifar.searches import DEFAULT, LADDERS
from benchmarks.pages import blank_figure, save_svg

__all__ = ["draw_rates", "draw_searches"]


def draw_rates(found: Sequence[Findings], path: Path) -> None:
    """Draws the best learning rate against the width, without and with scaled updates."""
    named = list(by_optimizer(found))
    figure = blank_figure(2.6 * len(named), 3)
    axes = figure.subplots(1, len(named), squeeze=False)[0]
    for (name, table), axis in zip(named, axes, strict=True):
        for title, corrected, colour in (("before", False, "C1"), ("after", True, "C0")):
            best = best_rates(table, corrected=corrected)
            middle, low, high = np.array(list(best.values())).T
            errors = np.clip([middle - low, high - middle], 0, None)
            axis.errorbar(list(best), middle, errors, color=colour, marker="o", label=title)
        axis.set(xscale="log", yscale="log", title=name, xlabel="width")
        axis.set_xticks([1 / 8, 1 / 4, 1 / 2, 1], ["1/8", "1/4", "1/2", "1"])
        axis.minorticks_off()
    axes[0].set(ylabel="best learning rate")
    axes[0].legend()
    save_svg(figure, path)


def draw_searches(found: Sequence[Findings], path: Path) -> None:
    """Draws the cost and the test accuracy of searches, as means over the judged networks."""
    figure = blank_figure(8, 4.5)
    axis = figure.subplots()
    names = [*COMPARED, *(name for name in LADDERS if name != DEFAULT)]
    for name in dict.fromkeys(names):
        if any(each.points(name) is None for each in found):
            continue
        cost = np.mean([each.cost(name) for each in judged(found)])
        points = mean_points(found, name).mean()
        is_ladder = name in LADDERS
        axis.scatter(cost, points, color="C0" if is_ladder else "C1", s=36 if is_ladder else 20)
        if name in COMPARED:
            axis.annotate(name, (cost, points), (4, 3), textcoords="offset points", fontsize=7)
    axis.axhline(0, color="0.7", linewidth=1)
    axis.set(
        xscale="log",
        xlabel="cost, as a share of a full search",
        ylabel="points of test accuracy against a full search",
    )
    save_svg(figure, path)
