"""The results of the paper's experiment, as a page and a picture."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np
from scipy import stats

from benchmarks.pages import blank_figure
from benchmarks.rows import Row, Rows, key_of
from proxyhpo._report.ranking import spearman

__all__ = ["Measured", "differences", "draw", "interval", "measured", "page"]

PROXY_ARMS = ("paper", "proxyhpo")
LABELS = {"paper": "the paper's method", "proxyhpo": "proxyhpo"}
FEWEST_SHARED = 5  # minimum number of configs for a rank correlation
HEAD = (
    "data", "network", "searcher", "seeds", "full search, s", "its test accuracy",
    "paper: cost", "difference", "Spearman", "proxyhpo: cost", "difference", "Spearman",
)  # fmt: skip


@dataclass(frozen=True)
class Measured:
    """One cell of the table for one seed.

    Args:
        of: data set, network, searcher, trials, seed and scale.
        searches: arm → the search's row; always with ``full``.
        accuracy: arm → mean test accuracy of the config that it returned, under fresh seeds.
    """

    of: Row
    searches: Mapping[str, Row]
    accuracy: Mapping[str, float]

    def cost(self, arm: str) -> float:
        """Seconds as a share of the full search's."""
        return float(self.searches[arm]["seconds"] / self.searches["full"]["seconds"])

    def difference(self, arm: str) -> float:
        """Test accuracy minus that of the full search, in points."""
        return 100 * (self.accuracy[arm] - self.accuracy["full"])

    def shared(self, arm: str) -> tuple[list[float], list[float]]:
        """Values of the configs that the full search and this arm's cheapest proxy both trained."""
        full = {json.dumps(run["config"]): run for run in self.searches["full"]["runs"]}
        density = min(run["density"] for run in self.searches[arm]["runs"])
        pairs = [
            (run["value"], full[key]["value"])
            for run in self.searches[arm]["runs"]
            if run["density"] == density and (key := json.dumps(run["config"])) in full
        ]
        pairs = [(proxy, base) for proxy, base in pairs if proxy is not None and base is not None]
        return [proxy for proxy, _ in pairs], [base for _, base in pairs]


def measured(rows: Rows, scale: str) -> list[Measured]:
    """The cells whose full search and at least one other arm have been run and tested."""
    searches: dict[str, dict[str, Row]] = defaultdict(dict)
    tests: dict[str, list[float]] = defaultdict(list)
    cells: dict[str, Row] = {}
    for of, found in rows.items():
        if of["scale"] != scale:
            continue
        if "test" in of:
            judged = {name: of[name] for name in ("data", "network", "config")}
            tests[key_of(judged)].append(found["accuracy"])
        else:
            cell = {name: value for name, value in of.items() if name != "arm"}
            cells[key_of(cell)] = cell
            searches[key_of(cell)][of["arm"]] = found
    complete = []
    for key, cell in cells.items():
        accuracy = {}
        for arm, found in searches[key].items():
            judged = {"data": cell["data"], "network": cell["network"], "config": found["config"]}
            if key_of(judged) in tests:
                accuracy[arm] = float(np.mean(tests[key_of(judged)]))
        if "full" in accuracy and len(accuracy) > 1:
            complete.append(Measured(cell, searches[key], accuracy))
    return complete


def page(cells: Sequence[Measured], picture: str) -> Iterator[str]:
    """The page in markdown, with a section for each number of trials.

    Args:
        cells: what has been measured.
        picture: file name.
    """
    if not cells:
        yield "Nothing has been measured yet."
        return
    yield f"![Cost and difference in test accuracy of each cell]({picture})\n"
    for trials in sorted({cell.of["trials"] for cell in cells}):
        chosen = [cell for cell in cells if cell.of["trials"] == trials]
        yield f"## {trials} trials\n"
        yield from _summary(chosen)
        yield ""
        yield from _table(chosen)
        yield ""


def draw(cells: Sequence[Measured], path: Path) -> None:
    """Draws the cost of each cell's searches on proxies against the accuracy that they lose."""
    figure = blank_figure(7, 4.5)
    axis = figure.subplots()
    markers = dict(zip(sorted({cell.of["data"] for cell in cells}), "os^DvP", strict=False))
    for arm, colour in zip(PROXY_ARMS, ("tab:gray", "tab:blue"), strict=True):
        for data, marker in markers.items():
            own = [cell for cell in cells if arm in cell.accuracy and cell.of["data"] == data]
            if own:
                axis.scatter(
                    [cell.cost(arm) for cell in own],
                    [cell.difference(arm) for cell in own],
                    c=colour,
                    marker=marker,
                    alpha=0.8,
                    label=f"{LABELS[arm]}, {data}",
                )
    axis.axhline(0, color="black", linewidth=0.8)
    axis.set(
        xlim=(0, None),
        xlabel="cost, as a share of the full search's",
        ylabel="test accuracy minus the full search's, points",
    )
    axis.legend(fontsize=8)
    figure.savefig(path, dpi=110)


def by_cell(searches: Sequence[Measured]) -> dict[tuple[str, ...], list[Measured]]:
    """Data set, network and searcher → its searches, one for each seed."""
    cells: dict[tuple[str, ...], list[Measured]] = defaultdict(list)
    for each in searches:
        cells[tuple(each.of[name] for name in ("data", "network", "searcher"))].append(each)
    return dict(sorted(cells.items()))


def costs(searches: Sequence[Measured], arm: str) -> list[float]:
    """The mean cost of each cell."""
    return [fmean(each.cost(arm) for each in cell) for cell in by_cell(searches).values()]


def differences(searches: Sequence[Measured], arm: str, other: str = "full") -> list[float]:
    """Test accuracy of an arm minus that of another one in points, the mean of each cell."""
    return [
        100 * fmean(each.accuracy[arm] - each.accuracy[other] for each in cell)
        for cell in by_cell(searches).values()
    ]


def interval(searches: Sequence[Measured], arm: str, other: str = "full") -> tuple[float, float]:
    """A 95 % t interval of the mean of :func:`differences`.

    The searchers of one network on one data set share its test images and its noise. So their mean
    counts as one observation.
    """
    pairs: dict[tuple[str, ...], list[float]] = defaultdict(list)
    cells = by_cell(searches)
    for cell, found in zip(cells, differences(searches, arm, other), strict=True):
        pairs[cell[:2]].append(found)
    means = [fmean(each) for each in pairs.values()]
    half = float(stats.t.ppf(0.975, len(means) - 1) * stats.sem(means))
    return fmean(means) - half, fmean(means) + half


def _summary(searches: Sequence[Measured]) -> Iterator[str]:
    """Means over cells, so that a cell with more seeds has no more weight than the others."""
    head = ["data", "search", "cells", "mean cost", "mean difference, points", "worst cell"]
    yield f"| {' | '.join(head)} |"
    yield "|---" * len(head) + "|"
    names = sorted({each.of["data"] for each in searches})
    for data, arm in ((data, arm) for data in [*names, None] for arm in PROXY_ARMS):
        own = [s for s in searches if arm in s.accuracy and data in {None, s.of["data"]}]
        if not own:
            continue
        found = differences(own, arm)
        texts = [
            data or "all",
            LABELS[arm],
            str(len(found)),
            f"{fmean(costs(own, arm)):.2f}",
            f"{fmean(found):+.2f}" if data else _mean(own, arm),
            f"{min(found):+.1f}",
        ]
        yield f"| {' | '.join(texts)} |"
    both = [each for each in searches if set(PROXY_ARMS) <= set(each.accuracy)]
    if both:
        pairs = zip(costs(both, "proxyhpo"), costs(both, "paper"), strict=True)
        cheaper = sum(ours < papers for ours, papers in pairs)
        yield (
            f"\n`proxyhpo` costs less than {LABELS['paper']} in {cheaper} of {len(by_cell(both))} "
            f"cells. Its test accuracy minus that of {LABELS['paper']} is "
            f"{_mean(both, 'proxyhpo', 'paper')} points."
        )


def _mean(searches: Sequence[Measured], arm: str, other: str = "full") -> str:
    """The mean difference, with its interval if there are several data sets or networks."""
    mean = f"{fmean(differences(searches, arm, other)):+.2f}"
    if len({cell[:2] for cell in by_cell(searches)}) < 2:
        return mean
    low, high = interval(searches, arm, other)
    return f"{mean} [{low:+.2f}, {high:+.2f}]"


def _table(cells: Sequence[Measured]) -> Iterator[str]:
    yield f"| {' | '.join(HEAD)} |"
    yield "|---" * len(HEAD) + "|"
    for place, group in by_cell(cells).items():
        full = [cell.searches["full"]["seconds"] for cell in group]
        texts = [*place, str(len(group)), f"{np.mean(full):.0f}"]
        texts.append(f"{100 * np.mean([cell.accuracy['full'] for cell in group]):.1f}")
        for arm in PROXY_ARMS:
            texts += _arm([cell for cell in group if arm in cell.accuracy], arm)
        yield f"| {' | '.join(texts)} |"


def _arm(cells: Sequence[Measured], arm: str) -> list[str]:
    """Cost, difference and rank correlation, means over the seeds."""
    if not cells:
        return ["", "", ""]
    shared = [cell.shared(arm) for cell in cells]
    ranks = [
        float(spearman(np.array(proxy), np.array(base)))
        for proxy, base in shared
        if len(proxy) >= FEWEST_SHARED
    ]
    n = "+".join(str(len(proxy)) for proxy, _ in shared)
    return [
        f"{np.mean([cell.cost(arm) for cell in cells]):.2f}",
        f"{np.mean([cell.difference(arm) for cell in cells]):+.1f}",
        f"{np.mean(ranks):.2f} (n={n})" if ranks else "",
    ]
