"""The tables of the report on how well proxies rank configs, as lines of Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.cifar.fidelity import Agreement, Triple, agreement, best_rates, ceiling
from benchmarks.cifar.findings import Findings, by_optimizer
from benchmarks.cifar.rules import BY_NORMS, LAYERWISE, RULES, WEAKER
from benchmarks.cifar.table import CONTROL, DENSITIES, EXPONENT, Run, Table

__all__ = ["fraction", "rankings", "rates", "rules"]

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


def rankings(found: Sequence[Findings]) -> Iterator[str]:
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


def rules(found: Sequence[Findings]) -> Iterator[str]:
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


def rates(found: Sequence[Findings]) -> Iterator[str]:
    yield "The best learning rate at each width: the maximum of a quadratic in log lr, fitted to"
    yield "the better half of the trainings, with a 95 % bootstrap interval. *Before*: no layer's"
    yield "updates are scaled; *after*: `layerwise`."
    yield ""
    densities = sorted({d for e in found for d in best_rates(e.table, corrected=True)})
    yield f"| network | | {' | '.join(fraction(density) for density in densities)} |"
    yield "|---" * (len(densities) + 2) + "|"
    for name, table in by_optimizer(found):
        for title, corrected in (("before", False), ("after", True)):
            best = best_rates(table, corrected=corrected)
            cells = [_triple(best[d], ".2g") if d in best else "" for d in densities]
            yield f"| {name} | {title} | {' | '.join(cells)} |"


def fraction(density: float) -> str:
    return "1" if density == 1 else f"1/{1 / density:.0f}"


def _triple(numbers: Triple, form: str = ".2f") -> str:
    middle, low, high = numbers
    return f"{middle:{form}} [{low:{form}}, {high:{form}}]"
