"""Writes the page docs/benchmarks/cifar.md and its pictures from the tables of trainings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.cifar import ranking_tables, search_tables
from benchmarks.cifar.findings import Findings
from benchmarks.cifar.pictures import draw_rates, draw_searches
from benchmarks.cifar.ranking_tables import fraction
from benchmarks.cifar.steps import Costs, batches
from benchmarks.cifar.table import DENSITIES
from benchmarks.cifar.training import EPOCHS, sizes
from benchmarks.pages import write_page

__all__ = ["write_report"]


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
    lines = ["## Ranking the configs", "", *ranking_tables.rankings(found), ""]
    lines += ["## Variants of the rule", "", *ranking_tables.rules(found), ""]
    lines += ["## The best learning rate", "", *ranking_tables.rates(found), ""]
    lines += ["## Ladders", "", *search_tables.ladders(found), ""]
    lines += ["### Short searches", "", *search_tables.short_searches(found), ""]
    if chosen := list(search_tables.chosen(found)):
        lines += ["### Chosen without the network itself", "", *chosen, ""]
    lines += ["## Other ways to save", "", *search_tables.rivals(found), ""]
    if live:
        lines += ["## Live searches", "", *live, ""]
    lines += ["## The tables", "", *_what(found, costs), ""]
    write_page(folder / "cifar.md", "python -m benchmarks.cifar report", lines)
    pictures = folder.parent / "pictures"
    pictures.mkdir(parents=True, exist_ok=True)
    draw_rates(found, pictures / "learning-rate-and-width.svg")
    draw_searches(found, pictures / "cost-and-accuracy.svg")


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
            yield f"| {each.net} | {fraction(density)} | {' | '.join(ratios)} |"
