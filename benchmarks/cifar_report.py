"""What the tables of trainings say, as a page and pictures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.cifar_fidelity import (
    Agreement,
    Triple,
    agreement,
    best_rates,
    ceiling,
)
from benchmarks.cifar_rules import BY_NORMS, LAYERWISE, RULES, WEAKER
from benchmarks.cifar_searches import DEFAULT, LADDERS, N_TRIALS, POWER_LAW, outcomes, sample_size
from benchmarks.cifar_steps import Costs, batches
from benchmarks.cifar_table import CONTROL, DENSITIES, EXPONENT, Run, Table
from benchmarks.cifar_training import EPOCHS, sizes
from benchmarks.pages import blank_figure, write_page
from benchmarks.tabular_report import REFERENCE, UNIT, Outcome

__all__ = ["Findings", "find", "write_report"]

Floats = npt.NDArray[np.float64]
MOST = 0.12  # of a full search's cost, for a ladder that may be the default
N_RANKED = 20  # configs at least, for a rank correlation
EIGHTH = {
    "layer by layer, by norms": Run(0, 1 / 8, rule=BY_NORMS),
    "the same, channels at random": Run(0, 1 / 8, rule=BY_NORMS, pruner=CONTROL),
    "layer by layer, hidden r^-1": Run(0, 1 / 8, rule=LAYERWISE),
    "layer by layer, hidden r^-.75": Run(0, 1 / 8, rule=WEAKER),
    "learning rate x r^-.5": Run(0, 1 / 8, EXPONENT),
    "learning rate x r^-.75": Run(0, 1 / 8, -0.75),
    "learning rate x r^-1": Run(0, 1 / 8, -1.0),
    "learning rate as it is": Run(0, 1 / 8),
}
"""Proxies of an eighth, by how they were corrected."""
CHOSEN = (DEFAULT, "1/8 (4), median", "1/8 (3), median, second seed", "1/8 (4), asha")
COMPARED = (
    UNIT, "full, median", "full: first 15% of the time", "1 epoch", "1 epoch, of 2 in 5 configs",
    "successive halving of epochs", "successive halving of epochs, of 1 in 3 configs",
    "1/8 (4), as it is", "1/8 (4), power law", POWER_LAW, *CHOSEN,
)  # fmt: skip


@dataclass(frozen=True)
class Findings:
    """Of one network.

    Args:
        net: its name.
        table: its trainings.
        halves: outcomes of searches among half of the configs, each two in turn among different
            ones.
        larger: the same among as many configs as there are.
    """

    net: str
    table: Table
    halves: Sequence[Outcome]
    larger: Sequence[Outcome]

    def points(self, name: str) -> Floats | None:
        """Test accuracy against the full search that looks twice, by sample; in points."""
        own, other = (_by_sample(self.halves, each) for each in (name, REFERENCE))
        return np.array([100 * (other[k].loss - own[k].loss) for k in own]) if own else None

    def cost(self, name: str, *, larger: bool = False) -> float:
        """Of a strategy, as a share of a full search that looks once."""
        found = self.larger if larger else self.halves
        own, unit = (_by_sample(found, each) for each in (name, UNIT))
        return float(np.mean([own[k].seconds / unit[k].seconds for k in own]))


def _by_sample(found: Iterable[Outcome], name: str) -> dict[int, Outcome]:
    return {outcome.repetition: outcome for outcome in found if outcome.strategy == name}


def of_halves(differences: Floats) -> tuple[float, float]:
    """The 95 % interval of the mean, where each two differences in turn share no config.

    Different splits share all of theirs, so that many of them say little more than one: the
    standard error is that of the mean of two.
    """
    halves = differences[: len(differences) // 2 * 2].reshape(-1, 2)
    error = float(np.sqrt(np.mean(np.diff(halves, axis=1) ** 2) / 4))
    middle = float(differences.mean())
    return middle - 1.96 * error, middle + 1.96 * error


def find(net: str, table: Table, costs: Costs, repetitions: int) -> Findings:
    """Replays the searches on a table."""
    halves = outcomes(net, table, costs, repetitions, n=sample_size(table))
    n = min(N_TRIALS, len(table))
    larger = outcomes(net, table, costs, 2, n=n)
    return Findings(net, table, halves, larger)


def write_report(
    found: Sequence[Findings], costs: Costs, folder: Path, *, live: Sequence[str] = ()
) -> None:
    """Writes the tables into ``cifar.md``, below the mark, and the pictures.

    Args:
        found: what the tables say.
        costs: of steps.
        folder: of the page; pictures stand in ``pictures`` beside it.
        live: lines about searches that really trained.
    """
    lines = ["## Ranking the configs", "", *_rankings(found), ""]
    lines += ["## How the updates are scaled", "", *_rules(found), ""]
    lines += ["## The best learning rate", "", *_rates(found), ""]
    lines += ["## Ladders", "", *_ladders(found), ""]
    lines += ["### Chosen by the other networks", "", *_chosen(found), ""]
    lines += ["## Against other ways to save", "", *_rivals(found), ""]
    if live:
        lines += ["## Live searches", "", *live, ""]
    lines += ["## The tables", "", *_what(found, costs), ""]
    write_page(folder / "cifar.md", "python -m benchmarks.cifar report", lines)
    pictures = folder.parent / "pictures"
    pictures.mkdir(parents=True, exist_ok=True)
    _draw_rates(found, pictures / "learning-rate-and-width.svg")
    _draw_searches(found, pictures / "cost-and-accuracy.svg")


def _rankings(found: Sequence[Findings]) -> Iterator[str]:
    yield "Spearman's rank correlation of a proxy of an eighth of the width with the full network,"
    yield "over all configs and over the full network's best 40 %; 95 % intervals of the first."
    yield ""
    rows = {name: [agreement(each.table, like) for each in found] for name, like in EIGHTH.items()}
    rows["the full network under another seed"] = [ceiling(each.table) for each in found]
    yield from _grid("an eighth of the width", found, rows, _ranked)
    yield ""
    yield "The same at other widths, layer by layer:"
    yield ""
    others = {
        f"1/{1 / density:.0f}": [
            agreement(each.table, Run(0, density, rule=BY_NORMS)) for each in found
        ]
        for density in DENSITIES
    }
    yield from _grid("width", found, others, _ranked)


def _rules(found: Sequence[Findings]) -> Iterator[str]:
    yield "Variants of the rule, on those configs that have all of them; Spearman over all configs"
    yield "and over the best 40 %."
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
    yield f"Configs: {', '.join(f'{e.net} {len(n)}' for e, n in zip(found, numbers, strict=True))}."


def _known(table: Table) -> set[str]:
    """Rules of which a table has enough trainings."""
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
    yield "The learning rate that is best at a width: where a quadratic through the better half of"
    yield "the trainings is highest, with a 95 % bootstrap interval. *Before*: updates as they are;"
    yield "*after*: updates scaled layer by layer."
    yield ""
    densities = sorted({d for e in found for d in best_rates(e.table, corrected=True)})
    yield f"| network | | {' | '.join(_fraction(density) for density in densities)} |"
    yield "|---" * (len(densities) + 2) + "|"
    for name, table in _by_optimizer(found):
        for title, corrected in (("before", False), ("after", True)):
            best = best_rates(table, corrected=corrected)
            cells = [_triple(best[d], ".2g") if d in best else "" for d in densities]
            yield f"| {name} | {title} | {' | '.join(cells)} |"


def _by_optimizer(found: Sequence[Findings]) -> Iterator[tuple[str, Table]]:
    """A learning rate of SGD and one of AdamW cannot be compared."""
    for each in found:
        kinds = {next(iter(runs.values())).config.get("optimizer") for runs in each.table.values()}
        for kind in sorted(kinds, key=str):
            table = {
                number: runs
                for number, runs in each.table.items()
                if next(iter(runs.values())).config.get("optimizer") == kind
            }
            yield (f"{each.net}, {kind}" if kind else each.net), table


def _ladders(found: Sequence[Findings]) -> Iterator[str]:
    sizes_ = ", ".join(f"{each.net} {sample_size(each.table)}" for each in found)
    yield "Cost (as a share of a full search that looks once) and test accuracy in points against a"
    yield "full search that trains its best three once more under another seed. In brackets: how"
    yield f"many trials climb. Configs in a search: {sizes_}."
    yield ""
    yield from _searches([*LADDERS], found)


def _rivals(found: Sequence[Findings]) -> Iterator[str]:
    yield from _searches([*COMPARED], found)
    yield ""
    yield "95 % intervals of some of them:"
    yield ""
    yield f"| search | {' | '.join(each.net for each in found)} | mean |"
    yield "|---" * (len(found) + 2) + "|"
    for name in (*CHOSEN, POWER_LAW, "full, median"):
        known = [each.points(name) for each in found]
        cells = ["" if p is None else _with_interval(p) for p in known]
        mean = _mean([p for p in known if p is not None])
        yield f"| {name} | {' | '.join(cells)} | {_with_interval(mean)} |"
    sizes_ = ", ".join(f"{each.net} {each.larger[0].n_trials}" for each in found)
    yield ""
    yield f"Cost in searches of as many configs as there are, up to {N_TRIALS} ({sizes_}):"
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
    yield f"| search | {' | '.join(each.net for each in found)} | mean, worst |"
    yield "|---" * (len(found) + 2) + "|"
    for name in names:
        known = [each for each in found if each.points(name) is not None]
        if not known:
            continue
        cells = [
            f"{each.cost(name):.3f}, {_points(each, name):+.2f}" if each in known else ""
            for each in found
        ]
        points = [_points(each, name) for each in known]
        cost = np.mean([each.cost(name) for each in known])
        cells.append(f"{cost:.3f}, {np.mean(points):+.2f}, {min(points):+.2f}")
        yield f"| {name} | {' | '.join(cells)} |"


def _points(each: Findings, name: str) -> float:
    points = each.points(name)
    assert points is not None, "asked for strategies that were replayed"
    return float(points.mean())


def _mean(points: Sequence[Floats]) -> Floats:
    """By sample, over the networks; of different networks no two samples are the same."""
    n = min(map(len, points))
    mean: Floats = np.mean([each[:n] for each in points], axis=0)
    return mean


def _with_interval(points: Floats) -> str:
    low, high = of_halves(points)
    return f"{points.mean():+.2f} [{low:+.2f}, {high:+.2f}]"


def _chosen(found: Sequence[Findings]) -> Iterator[str]:
    yield "For each network the ladder that is best on all others in the mean, among those that"
    yield f"cost at most {MOST:g} there, and what it comes to on this one:"
    yield ""
    yield "| network | chosen by the others | cost here | points here |"
    yield "|---|---|---|---|"
    here = []
    for each in found:
        others = [other for other in found if other is not each]
        best = _best_ladder(others)
        if best is None or each.points(best) is None:
            continue
        points = _points(each, best)
        here.append(points)
        yield f"| {each.net} | {best} | {each.cost(best):.3f} | {points:+.2f} |"
    if here:
        yield f"| mean | | | {np.mean(here):+.2f} |"


def _best_ladder(found: Sequence[Findings]) -> str | None:
    affordable = {
        name: np.mean([_points(each, name) for each in found])
        for name in LADDERS
        if all(each.points(name) is not None for each in found)
        and np.mean([each.cost(name) for each in found]) <= MOST
    }
    return max(affordable, key=lambda name: affordable[name], default=None)


def _what(found: Sequence[Findings], costs: Costs) -> Iterator[str]:
    yield "| network | configs | examples: in an epoch, to select by, to test | epochs |"
    yield "|---" * 4 + "|"
    for each in found:
        size = sizes(each.net)
        examples = f"{size.epoch:,}, {size.validation:,}, {size.test:,}"
        yield f"| {each.net} | {len(each.table)} | {examples} | {EPOCHS} |"
    yield ""
    yield "How many times faster a step is than the full network's, by batch size:"
    yield ""
    yield "| network | width | smallest batch | middle | largest |"
    yield "|---" * 5 + "|"
    for each in found:
        for density in DENSITIES:
            if not costs.knows(each.net, density):
                continue
            ratios = (f"{costs.ratio(each.net, density, size):.1f}" for size in batches(each.net))
            yield f"| {each.net} | {_fraction(density)} | {' | '.join(ratios)} |"


def _fraction(density: float) -> str:
    return "1" if density == 1 else f"1/{1 / density:.0f}"


def _triple(numbers: Triple, form: str = ".2f") -> str:
    middle, low, high = numbers
    return f"{middle:{form}} [{low:{form}}, {high:{form}}]"


def _draw_rates(found: Sequence[Findings], path: Path) -> None:
    """The best learning rate against the width, before and after."""
    named = list(_by_optimizer(found))
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
    figure.savefig(path)


def _draw_searches(found: Sequence[Findings], path: Path) -> None:
    """What a search costs and finds, the mean over the networks."""
    figure = blank_figure(8, 4.5)
    axis = figure.subplots()
    names = [*COMPARED, *(name for name in LADDERS if name != DEFAULT)]
    for name in dict.fromkeys(names):
        known = [each for each in found if each.points(name) is not None]
        if len(known) < len(found):
            continue
        cost = np.mean([each.cost(name) for each in known])
        points = np.mean([_points(each, name) for each in known])
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
    figure.savefig(path)
