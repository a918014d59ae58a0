"""The tables of the report on what searches cost and find, as lines of Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from benchmarks.cifar.findings import (
    CHOSEN,
    COMPARED,
    MOST,
    NOT_EARLY,
    Findings,
    Floats,
    best_ladder,
    cost_in,
    has_mean,
    judged,
    mean_of,
    mean_points,
    of_halves,
    points_in,
    points_of,
)
from benchmarks.cifar.searches import DEFAULT, LADDERS, N_TRIALS, POWER_LAW, SHORT, sample_size

__all__ = ["chosen", "ladders", "rivals", "short_searches"]


def ladders(found: Sequence[Findings]) -> Iterator[str]:
    sizes_ = ", ".join(f"{each.net} {sample_size(each.table)}" for each in found)
    yield "Cost as a share of a full search without repeats, and the difference in test accuracy,"
    yield "in points, to a full search that trains its best three once more under another seed. In"
    yield f"brackets: how many trials are promoted. Configs in a search: {sizes_}."
    yield ""
    yield from _searches([*LADDERS], found)


def short_searches(found: Sequence[Findings]) -> Iterator[str]:
    sizes_ = ", ".join(f"{each.net} {each.short[0].n_trials}" for each in found)
    yield f"The same for few configs ({sizes_}), with a"
    yield "95 % interval of the mean difference:"
    yield ""
    yield f"| search | {' | '.join(each.net for each in found)} | mean of {_averaged(found)} |"
    yield "|---" * (len(found) + 2) + "|"
    for name in SHORT:
        # Every table has the proxies of the default search.
        points = {e.net: own for e in found if (own := points_in(e.short, name)) is not None}
        costs = {each.net: cost_in(each.short, name) for each in found}
        cells = [f"{costs[net]:.3f}, {own.mean():+.2f}" for net, own in points.items()]
        nets = [each.net for each in judged(found)]
        mean = _with_interval(mean_of([points[net] for net in nets]))
        cells.append(f"{np.mean([costs[net] for net in nets]):.3f}, {mean}")
        yield f"| {name} | {' | '.join(cells)} |"


def rivals(found: Sequence[Findings]) -> Iterator[str]:
    yield from _searches([*COMPARED], found)
    yield ""
    yield "95 % intervals of the differences for some of the searches:"
    yield ""
    yield f"| search | {' | '.join(each.net for each in found)} | mean of {_averaged(found)} |"
    yield "|---" * (len(found) + 2) + "|"
    for name in (*CHOSEN, POWER_LAW, "full, median"):
        points = [each.points(name) for each in found]
        points.append(mean_points(found, name) if has_mean(found, name) else None)
        cells = ["" if p is None else _with_interval(p) for p in points]
        yield f"| {name} | {' | '.join(cells)} |"
    sizes_ = ", ".join(f"{each.net} {each.larger[0].n_trials}" for each in found)
    yield ""
    yield f"Cost in searches of all configs, up to {N_TRIALS} ({sizes_}):"
    yield ""
    yield f"| search | {' | '.join(each.net for each in found)} |"
    yield "|---" * (len(found) + 1) + "|"
    for name in (*CHOSEN, POWER_LAW):
        cells = [
            f"{each.cost(name, larger=True):.3f}" if each.points(name) is not None else ""
            for each in found
        ]
        yield f"| {name} | {' | '.join(cells)} |"


def _searches(names: Iterable[str], found: Sequence[Findings]) -> Iterator[str]:
    nets = " | ".join(each.net for each in found)
    yield f"| search | {nets} | mean, worst of {_averaged(found)} |"
    yield "|---" * (len(found) + 2) + "|"
    for name in names:
        known = [each for each in found if each.points(name) is not None]
        if not known:
            continue
        cells = [
            f"{each.cost(name):.3f}, {points_of(each, name):+.2f}" if each in known else ""
            for each in found
        ]
        mean = ""
        if has_mean(found, name):
            points = [points_of(each, name) for each in judged(found)]
            cost = np.mean([each.cost(name) for each in judged(found)])
            mean = f"{cost:.3f}, {np.mean(points):+.2f}, {min(points):+.2f}"
        cells.append(mean)
        yield f"| {name} | {' | '.join(cells)} |"


def _with_interval(points: Floats) -> str:
    low, high = of_halves(points)
    return f"{points.mean():+.2f} [{low:+.2f}, {high:+.2f}]"


def chosen(found: Sequence[Findings]) -> Iterator[str]:
    """What the other networks would choose for each; nothing if no ladder is cheap enough."""
    here, rows = {}, []
    for each in found:
        others = [other for other in found if other is not each]
        best = best_ladder(others)
        if best is not None and each.points(best) is not None:
            points = here[each.net] = points_of(each, best)
            rows.append(f"| {each.net} | {best} | {each.cost(best):.3f} | {points:+.2f} |")
    if not here:
        return
    yield "For each network: the ladder with the best mean on the other networks, among those that"
    yield f"cost at most {MOST:g} of a full search of all configs there, and its cost and"
    yield "difference on this network, among half of the configs."
    yield ""
    yield "| network | chosen by the others | cost here | points here |"
    yield "|---|---|---|---|"
    yield from rows
    mean = np.mean([here[each.net] for each in judged(found) if each.net in here])
    yield f"| mean of {_averaged(found)} | | | {mean:+.2f} |"
    change = mean_points(found, DEFAULT) - mean_points(found, NOT_EARLY)
    yield ""
    yield f"The default minus `{NOT_EARLY}`, which differs only in early promotion, in the"
    yield f"mean of {_averaged(found)}: {_with_interval(change)} points."


def _averaged(found: Sequence[Findings]) -> str:
    return ", ".join(each.net for each in judged(found))
