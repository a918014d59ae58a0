"""Writes the page docs/benchmarks/cifar.md and its pictures from the tables of trainings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.cifar.fidelity import Agreement, Triple, agreement, best_rates, ceiling
from benchmarks.cifar.findings import (
    CHOSEN,
    COMPARED,
    MOST,
    NOT_EARLY,
    Findings,
    Floats,
    best_ladder,
    by_optimizer,
    cost_in,
    has_mean,
    judged,
    mean_of,
    mean_points,
    of_halves,
    points_in,
    points_of,
)
from benchmarks.cifar.pictures import draw_rates, draw_searches
from benchmarks.cifar.rules import BY_NORMS, LAYERWISE, RULES, WEAKER
from benchmarks.cifar.searches import DEFAULT, LADDERS, N_TRIALS, POWER_LAW, SHORT, sample_size
from benchmarks.cifar.steps import Costs, batches
from benchmarks.cifar.table import CONTROL, DENSITIES, EXPONENT, Run, Table
from benchmarks.cifar.training import EPOCHS, sizes
from benchmarks.pages import write_page

__all__ = ["write_report"]

N_RANKED = 20  # configs at least, for a rank correlation
EIGHTH = {
    "layerwise (the default)": Run(0, 1 / 8, rule=BY_NORMS),
    "layerwise, random channels": Run(0, 1 / 8, rule=BY_NORMS, pruner=CONTROL),
    "layerwise, hidden matrices r^-1": Run(0, 1 / 8, rule=LAYERWISE),
    "layerwise, hidden matrices r^-.75": Run(0, 1 / 8, rule=WEAKER),
    "learning rate x r^-.5 (power law)": Run(0, 1 / 8, EXPONENT),
    "learning rate x r^-.75": Run(0, 1 / 8, -0.75),
    "learning rate x r^-1": Run(0, 1 / 8, -1.0),
    "no correction": Run(0, 1 / 8),
}
"""Label → proxies of an eighth with this correction."""


def write_report(
    found: Sequence[Findings], costs: Costs, folder: Path, *, live: Sequence[str] = ()
) -> None:
    """Writes the tables into ``cifar.md``, below the mark, and the pictures.

    Args:
        found: the findings for each network.
        costs: of steps.
        folder: of the page; the pictures are in the folder ``pictures`` beside it.
        live: lines about searches that trained their networks.
    """
    lines = ["## Ranking the configs", "", *_rankings(found), ""]
    lines += ["## Variants of the rule", "", *_rules(found), ""]
    lines += ["## The best learning rate", "", *_rates(found), ""]
    lines += ["## Ladders", "", *_ladders(found), ""]
    lines += ["### Short searches", "", *_short(found), ""]
    if chosen := list(_chosen(found)):
        lines += ["### Chosen without the network itself", "", *chosen, ""]
    lines += ["## Other ways to save", "", *_rivals(found), ""]
    if live:
        lines += ["## Live searches", "", *live, ""]
    lines += ["## The tables", "", *_what(found, costs), ""]
    write_page(folder / "cifar.md", "python -m benchmarks.cifar report", lines)
    pictures = folder.parent / "pictures"
    pictures.mkdir(parents=True, exist_ok=True)
    draw_rates(found, pictures / "learning-rate-and-width.svg")
    draw_searches(found, pictures / "cost-and-accuracy.svg")


def _rankings(found: Sequence[Findings]) -> Iterator[str]:
    yield "Spearman's rank correlation between a proxy of an eighth of the width and the full"
    yield "network: for all configs, with its 95 % interval, and for the full network's best 40 %."
    yield ""
    rows = {name: [agreement(each.table, like) for each in found] for name, like in EIGHTH.items()}
    rows["the full network under another seed"] = [ceiling(each.table) for each in found]
    yield from _grid("an eighth of the width", found, rows, _ranked)
    yield ""
    yield "The same for other widths, with `layerwise`:"
    yield ""
    others = {
        f"1/{1 / density:.0f}": [
            agreement(each.table, Run(0, density, rule=BY_NORMS)) for each in found
        ]
        for density in DENSITIES
    }
    yield from _grid("width", found, others, _ranked)


def _rules(found: Sequence[Findings]) -> Iterator[str]:
    yield "The same on the configs that were trained with all variants, without intervals. Here"
    yield "`layerwise` scales hidden matrices by r^-1 in every network."
    yield ""
    numbers = [
        [
            number
            for number, runs in each.table.items()
            if all(Run(number, 1 / 8, rule=rule) in runs for rule in _known(each.table))
        ]
        for each in found
    ]
    rows = {
        rule: [
            agreement(each.table, Run(0, 1 / 8, rule=rule), same) if same else None
            for each, same in zip(found, numbers, strict=True)
        ]
        for rule in RULES
    }
    yield from _grid("rule", found, rows, _ranked_alone)
    yield ""
    counts = ", ".join(f"{e.net} {len(n)}" for e, n in zip(found, numbers, strict=True))
    yield f"Numbers of configs: {counts}."


def _known(table: Table) -> set[str]:
    """The rules for which the table has enough trainings."""
    runs = [run for each in table.values() for run in each if run.rule and run.pruner != CONTROL]
    at_eighth = [run.rule for run in runs if run.density == 1 / 8]
    return {rule for rule in RULES if at_eighth.count(rule) >= N_RANKED}


def _grid(title: str, found: Sequence[Findings], rows: Any, cell: Any) -> Iterator[str]:
    yield f"| {title} | {' | '.join(each.net for each in found)} |"
    yield "|---" * (len(found) + 1) + "|"
    for name, each in rows.items():
        if any(agreed is not None and agreed.n >= N_RANKED for agreed in each):
            yield f"| {name} | {' | '.join(map(cell, each))} |"


def _ranked(agreed: Agreement | None) -> str:
    if agreed is None or agreed.n < N_RANKED:
        return ""
    (rho, low, high), (top, *_), *_ = agreed.measures.values()
    return f"{rho:.2f} [{low:.2f}, {high:.2f}], {top:.2f}"


def _ranked_alone(agreed: Agreement | None) -> str:
    if agreed is None or agreed.n < N_RANKED:
        return ""
    return f"{agreed.measures['Spearman'][0]:.2f}, {agreed.measures['Spearman, best 40 %'][0]:.2f}"


def _rates(found: Sequence[Findings]) -> Iterator[str]:
    yield "The best learning rate at each width: the maximum of a quadratic in log lr, fitted to"
    yield "the better half of the trainings, with a 95 % bootstrap interval. *Before*: no layer's"
    yield "updates are scaled; *after*: `layerwise`."
    yield ""
    densities = sorted({d for e in found for d in best_rates(e.table, corrected=True)})
    yield f"| network | | {' | '.join(_fraction(density) for density in densities)} |"
    yield "|---" * (len(densities) + 2) + "|"
    for name, table in by_optimizer(found):
        for title, corrected in (("before", False), ("after", True)):
            best = best_rates(table, corrected=corrected)
            cells = [_triple(best[d], ".2g") if d in best else "" for d in densities]
            yield f"| {name} | {title} | {' | '.join(cells)} |"


def _ladders(found: Sequence[Findings]) -> Iterator[str]:
    sizes_ = ", ".join(f"{each.net} {sample_size(each.table)}" for each in found)
    yield "Cost as a share of a full search without repeats, and the difference in test accuracy,"
    yield "in points, to a full search that trains its best three once more under another seed. In"
    yield f"brackets: how many trials are promoted. Configs in a search: {sizes_}."
    yield ""
    yield from _searches([*LADDERS], found)


def _short(found: Sequence[Findings]) -> Iterator[str]:
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


def _rivals(found: Sequence[Findings]) -> Iterator[str]:
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


def _chosen(found: Sequence[Findings]) -> Iterator[str]:
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


def _what(found: Sequence[Findings], costs: Costs) -> Iterator[str]:
    yield "| network | configs | examples in an epoch, for validation, for the test | epochs |"
    yield "|---" * 4 + "|"
    for each in found:
        size = sizes(each.net)
        examples = f"{size.epoch:,}, {size.validation:,}, {size.test:,}"
        yield f"| {each.net} | {len(each.table)} | {examples} | {EPOCHS} |"
    yield ""
    yield "Speed-up of a training step over the full network, by batch size:"
    yield ""
    yield "| network | width | smallest batch | middle | largest |"
    yield "|---" * 5 + "|"
    for each in found:
        for density in DENSITIES:
            if not costs.knows(each.net, density):
                continue
            ratios = (f"{costs.ratio(each.net, density, size):.1f}" for size in batches(each.net))
            yield f"| {each.net} | {_fraction(density)} | {' | '.join(ratios)} |"


def _averaged(found: Sequence[Findings]) -> str:
    return ", ".join(each.net for each in judged(found))


def _fraction(density: float) -> str:
    return "1" if density == 1 else f"1/{1 / density:.0f}"


def _triple(numbers: Triple, form: str = ".2f") -> str:
    middle, low, high = numbers
    return f"{middle:{form}} [{low:{form}}, {high:{form}}]"
