"""What the tables of CIFAR-10 say, as a page and a figure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.cifar_exponents import decay
from benchmarks.cifar_fidelity import (
    MEASURES,
    Agreement,
    Drift,
    Triple,
    agreements,
    best_rate,
    drift,
    rates_and_values,
)
from benchmarks.cifar_searches import DEFAULT, N_TRIALS, outcomes, sample_size
from benchmarks.cifar_steps import BATCHES, Costs
from benchmarks.cifar_table import DENSITIES, LONGER, Table
from benchmarks.cifar_training import EPOCHS, SIZES
from benchmarks.pages import blank_figure, write_page
from benchmarks.tabular_report import (
    UNIT,
    Floats,
    Interval,
    Outcome,
    Summary,
    draw_summaries,
    summaries,
)

__all__ = ["Findings", "find", "write_report"]

LEAST_LONGER = 6  # configs
COMPARED = (
    "full", "full, median", "1 epoch", "1 epoch, of half the configs",
    "successive halving of epochs", "successive halving of epochs, of 2 in 5 configs",
    "1/8", "1/8 (6), 1/2 (2)", DEFAULT,
    "1/8 (6), 1/2 (2), asha", "1/4, asha",
)  # fmt: skip
"""Strategies that search among as many configs as there are, too."""


@dataclass(frozen=True)
class Findings:
    """Of one network.

    Args:
        net: its name.
        table: its trainings.
        outcomes: of searches among half of the configs, each two in turn among different ones.
        larger: of some among as many as there are, up to :data:`N_TRIALS`.
        agreements: of cheap trainings with the full network's.
        drift: of the best learning rate.
    """

    net: str
    table: Table
    outcomes: Sequence[Outcome]
    larger: Sequence[Outcome]
    agreements: Sequence[Agreement]
    drift: Drift

    @property
    def searches(self) -> dict[str, Summary]:
        """Strategy → summary of the searches among half of the configs."""
        return by_repetition(self.outcomes, of_halves)

    def accuracy(self, strategy: str) -> float:
        """Mean test accuracy of what a strategy finds."""
        return 1 - float(np.mean([o.loss for o in self.outcomes if o.strategy == strategy]))


def by_repetition(found: Sequence[Outcome], interval: Interval) -> dict[str, Summary]:
    """Strategy → summary; each repetition counts like a data set."""
    each = (replace(o, data_set=str(o.repetition)) for o in found)
    return summaries(each, relative=False, interval=interval)


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
    """Replays the searches, and compares rankings and learning rates."""
    found = outcomes(net, table, costs, repetitions, n=sample_size(table))
    n = min(N_TRIALS, len(table))
    larger = outcomes(net, table, costs, repetitions, n=n, names=COMPARED)
    return Findings(net, table, found, larger, agreements(table), drift(table))


def write_report(
    found: Sequence[Findings],
    costs: Costs,
    folder: Path,
    *,
    live: Sequence[str] = (),
    longer: Mapping[str, Table] | None = None,
) -> None:
    """Writes the tables into ``cifar.md``, below the mark, and ``cifar.png``.

    Args:
        found: what the tables say.
        costs: of steps.
        folder: of the page.
        live: lines about searches that really trained.
        longer: network → the table of its longer trainings.
    """
    lines = [*_what(found), "", "## Cost of a step", "", *_steps(found, costs), ""]
    lines += ["## Searches", "", *_searches(found), ""]
    lines += ["### Others against the default", "", *_rivals(found), ""]
    lines += ["### As many configs as there are", "", *_larger(found), ""]
    if live:
        lines += ["## Live searches", "", *live, ""]
    for each in found:
        lines += [f"### {each.net}", "", *_by_net(each), ""]
    lines += ["## Rankings", ""]
    for each in found:
        lines += [f"### {each.net}: rankings", "", *_rankings(each), ""]
    lines += ["## The best learning rate", "", *_drifts(found), ""]
    lines += ["### Weight decay", "", *_decays(found), ""]
    lines += [*_longer(longer or {}, {each.net: each.table for each in found}), ""]
    write_page(folder / "cifar.md", "python -m benchmarks.cifar report", lines)
    _figure(found, folder / "cifar.png")


def _what(found: Sequence[Findings]) -> Iterable[str]:
    counts = ", ".join(f"{each.net} {len(each.table)}" for each in found)
    sizes = ", ".join(f"{each.net} {sample_size(each.table)}" for each in found)
    yield f"Complete configs: {counts}. Configs in a search: {sizes}."
    train, validation, test = SIZES.values()
    yield f"Trained on {train:,} images for {EPOCHS} epochs, selected on {validation:,},"
    yield f"tested on {test:,}."


def _steps(found: Sequence[Findings], costs: Costs) -> Iterable[str]:
    yield "How many times faster a step is than the full network's, at each batch size:"
    yield ""
    yield f"| network | density | {' | '.join(map(str, BATCHES))} |"
    yield "|---" * (len(BATCHES) + 2) + "|"
    for each in found:
        for density in DENSITIES:
            ratios = (f"{costs.ratio(each.net, density, size):.1f}" for size in BATCHES)
            yield f"| {each.net} | {density:g} | {' | '.join(ratios)} |"


def _searches(found: Sequence[Findings]) -> Iterable[str]:
    """All networks side by side."""
    per_net = [each.searches for each in found]
    together = summaries((o for each in found for o in each.outcomes), relative=False)
    yield f"| strategy | {' | '.join(f'{e.net}: cost, difference' for e in found)} | mean, worst |"
    yield "|---" * (len(found) + 2) + "|"
    for name in per_net[0]:
        cells = [f"{s[name].cost:.3f}, {s[name].difference:+.2f}" for s in per_net]
        overall = together[name]
        cells.append(f"{overall.cost:.3f}, {overall.difference:+.2f}, {overall.worst:+.2f}")
        yield f"| {name} | {' | '.join(cells)} |"


def _by_net(each: Findings) -> Iterable[str]:
    yield "| strategy | cost | test accuracy | difference, points |"
    yield "|---|---|---|---|"
    for name, summary in each.searches.items():
        low, high = summary.interval
        yield (
            f"| {name} | {summary.cost:.3f} | {100 * each.accuracy(name):.2f} "
            f"| {summary.difference:+.2f} [{low:+.2f}, {high:+.2f}] |"
        )


def _larger(found: Sequence[Findings]) -> Iterable[str]:
    """What searches among more configs cost; too many of them are the same for an interval."""
    sizes = ", ".join(f"{each.net} {each.larger[0].n_trials}" for each in found)
    yield f"Configs in a search: {sizes}. The samples are much alike, so there are no intervals."
    yield ""
    yield f"| strategy | {' | '.join(f'{e.net}: cost, difference' for e in found)} |"
    yield "|---" * (len(found) + 1) + "|"
    per_net = [by_repetition(each.larger, of_halves) for each in found]
    for name in per_net[0]:
        cells = [f"{s[name].cost:.3f}, {s[name].difference:+.2f}" for s in per_net]
        yield f"| {name} | {' | '.join(cells)} |"


def _rivals(found: Sequence[Findings]) -> Iterable[str]:
    """Paired, so that what all strategies share in a sample cancels; the mean over networks."""
    yield "What each loses to the default ladder in the same samples, in points of test error; the"
    yield "mean over the networks, of whose samples no two are the same."
    yield ""
    yield "| strategy | cost | difference to the default |"
    yield "|---|---|---|"
    for name in (name for name in COMPARED if name != DEFAULT):
        differences = np.mean([_paired(each.outcomes, name) for each in found], axis=0)
        low, high = of_halves(differences)
        cost = np.mean([each.searches[name].cost for each in found])
        yield f"| {name} | {cost:.3f} | {differences.mean():+.2f} [{low:+.2f}, {high:+.2f}] |"


def _paired(outcomes: Sequence[Outcome], name: str) -> Floats:
    """Points that a strategy loses to the default, by sample."""
    losses: dict[str, dict[int, float]] = {name: {}, DEFAULT: {}}
    for outcome in outcomes:
        if outcome.strategy in losses:
            losses[outcome.strategy][outcome.repetition] = outcome.loss
    return np.array([100 * (losses[name][r] - loss) for r, loss in losses[DEFAULT].items()])


def _rankings(each: Findings) -> Iterable[str]:
    yield f"| density | {' | '.join(MEASURES)} |"
    yield "|---" * (len(MEASURES) + 1) + "|"
    for agreement in each.agreements:
        cells = (_triple(figure) for figure in agreement.measures.values())
        yield f"| {agreement.name} | {' | '.join(cells)} |"
    yield ""
    yield f"Proxies: {each.agreements[0].n} configs; another seed: {each.agreements[-1].n}."


def _drifts(found: Sequence[Findings]) -> Iterable[str]:
    densities = (*DENSITIES, 1.0)
    yield f"| network | {' | '.join(f'best at {d:g}' for d in densities)} | exponent |"
    yield "|---" * (len(densities) + 2) + "|"
    for each in found:
        cells = [_triple(each.drift.best[density], ".2g") for density in densities]
        yield f"| {each.net} | {' | '.join(cells)} | {_triple(each.drift.exponent)} |"


def _decays(found: Sequence[Findings]) -> Iterator[str]:
    """Whether weight decay should follow the width, too."""
    yield "The share of the accuracies' variance that a fit explains, without weight decay and with"
    yield "it (times the best and the worst power of the width ratio):"
    yield ""
    yield "| network | learning rate alone | with weight decay, worst | best | best power |"
    yield "|---" * 5 + "|"
    for each in found:
        result = decay(each.table, each.drift.exponent[0])
        shares = (f"{share:.3f}" for share in (result.without, result.worst, result.best))
        yield f"| {each.net} | {' | '.join(shares)} | {_triple(result.exponent)} |"


def _longer(longer: Mapping[str, Table], usual: Mapping[str, Table]) -> Iterator[str]:
    """How the best learning rate follows the width where trainings are longer."""
    known = {net: table for net, table in longer.items() if len(table) >= LEAST_LONGER}
    if not known:
        return
    yield ""
    yield f"### {LONGER} times as long"
    yield ""
    yield "| network | configs | exponent | the same configs, trained as long as above |"
    yield "|---" * 4 + "|"
    for net, table in known.items():
        same = {
            number: {run: usual[net][number][run] for run in runs} for number, runs in table.items()
        }
        exponents = [_triple(drift(each).exponent) for each in (table, same)]
        cells = [net, str(len(table)), *exponents]
        yield f"| {' | '.join(cells)} |"


def _triple(numbers: Triple, form: str = ".2f") -> str:
    middle, low, high = numbers
    return f"{middle:{form}} [{low:{form}}, {high:{form}}]"


def _figure(found: Sequence[Findings], path: Path) -> None:
    figure = blank_figure(4.5 * len(found), 8)
    axes = figure.subplots(2, len(found), squeeze=False)
    for each, rates, searches in zip(found, *axes, strict=True):
        _draw_rates(each, rates)
        _draw_searches(each, searches)
    figure.savefig(path, dpi=110)


def _draw_rates(each: Findings, axis: Any) -> None:
    for number, density in enumerate((*DENSITIES, 1.0)):
        rates, values = rates_and_values(each.table, density, list(each.table))
        axis.scatter(rates, values, s=5, color=f"C{number}", label=f"density {density:g}")
        axis.axvline(best_rate(rates, values), color=f"C{number}", linewidth=1)
    axis.set(xscale="log", title=each.net, xlabel="learning rate", ylabel="validation accuracy")
    axis.legend(fontsize=7)


def _draw_searches(each: Findings, axis: Any) -> None:
    draw_summaries(
        axis, {n: found for n, found in each.searches.items() if ":" not in n or n == UNIT}
    )
    axis.set(xlabel="cost in full searches", ylabel="points of test error (down: better)")
