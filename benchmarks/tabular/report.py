"""The statistics of searches on tables, as a page and a figure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.pages import blank_figure, write_page

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Outcome:
    """The outcome of a search.

    Args:
        table: name of the table.
        data_set: name of its data set.
        repetition: number of the draw of configs and seeds.
        n_trials: number of configs.
        strategy: name of the strategy, with the decision that was made from it.
        loss: of the config found, on the full network under seeds that no search has used.
        seconds: the cost of the search.
    """

    table: str
    data_set: str
    repetition: int
    n_trials: int
    strategy: str
    loss: float
    seconds: float


@dataclass(frozen=True)
class Summary:
    """A strategy compared with the full search with repeats, on the same draws.

    Args:
        cost: seconds, as a share of a full search without repeats; the mean over the tables.
        by_table: mean difference of each table.
        by_data_set: data set → mean difference.
        interval: 95 % interval of the difference.
    """

    cost: float
    by_table: Floats
    by_data_set: Mapping[str, float]
    interval: tuple[float, float]

    @property
    def difference(self) -> float:
        """Mean over the data sets."""
        return float(np.mean(list(self.by_data_set.values())))

    @property
    def worst(self) -> float:
        """The largest mean difference of a data set."""
        return max(self.by_data_set.values())

    @property
    def p_value(self) -> float:
        """Wilcoxon's signed-rank test over the tables; optimistic, since some share their data."""
        from scipy.stats import wilcoxon  # noqa: PLC0415 - slow to import

        return float(wilcoxon(self.by_table).pvalue) if np.any(self.by_table) else 1.0


REFERENCE, UNIT = "full", "full: no repeats"


Interval = Callable[[Floats], tuple[float, float]]


def clustered(differences: Floats) -> tuple[float, float]:
    """The 95 % bootstrap interval, for which whole data sets are resampled."""
    drawn = np.random.default_rng(0).integers(len(differences), size=(10_000, len(differences)))
    low, high = np.quantile(differences[drawn].mean(1), [0.025, 0.975])
    return float(low), float(high)


def summaries(
    outcomes: Iterable[Outcome], *, relative: bool, interval: Interval = clustered
) -> dict[str, Summary]:
    """Strategy → summary.

    Args:
        outcomes: all with the same number of trials.
        relative: whether differences are those of log losses (otherwise of losses, in hundredths).
        interval: computes the interval of their mean over the data sets.
    """
    draws: dict[tuple[str, str, int], dict[str, Outcome]] = defaultdict(dict)
    for outcome in outcomes:
        draws[outcome.data_set, outcome.table, outcome.repetition][outcome.strategy] = outcome
    complete = {key: draw for key, draw in draws.items() if UNIT in draw}
    names = list(dict.fromkeys(name for draw in complete.values() for name in draw))
    return {name: _summary(name, complete, interval, relative=relative) for name in names}


def _summary(
    name: str,
    draws: Mapping[tuple[str, str, int], Mapping[str, Outcome]],
    interval: Interval,
    *,
    relative: bool,
) -> Summary:
    differences, costs = defaultdict(list), defaultdict(list)
    for (data_set, table, _), draw in draws.items():
        if name in draw:
            own, other = draw[name].loss, draw[REFERENCE].loss
            difference = np.log(own / other) if relative else own - other
            differences[data_set, table].append(100 * difference)
            costs[data_set, table].append(draw[name].seconds / draw[UNIT].seconds)
    by_table = {key: float(np.mean(values)) for key, values in differences.items()}
    grouped = defaultdict(list)
    for (data_set, _), mean in by_table.items():
        grouped[data_set].append(mean)
    by_data_set = {data_set: float(np.mean(means)) for data_set, means in grouped.items()}
    return Summary(
        cost=float(np.mean([np.mean(values) for values in costs.values()])),
        by_table=np.array(list(by_table.values())),
        by_data_set=by_data_set,
        interval=interval(np.array(list(by_data_set.values()))),
    )


def chosen_elsewhere(
    candidates: Mapping[str, Summary], limit: float
) -> dict[str, tuple[str, float]]:
    """Data set → (the candidate that is best on all others, within a cost; its difference here)."""
    found = {}
    affordable = {name: each for name, each in candidates.items() if each.cost <= limit}
    for data_set in next(iter(affordable.values())).by_data_set if affordable else ():
        elsewhere = {
            name: np.mean([v for other, v in each.by_data_set.items() if other != data_set])
            for name, each in affordable.items()
        }
        best = min(elsewhere, key=lambda name: elsewhere[name])
        found[data_set] = best, affordable[best].by_data_set[data_set]
    return found


def write_report(outcomes: Sequence[Outcome], folder: Path) -> None:
    """Writes the figures into ``tabular.md``, below the mark, and ``tabular.png``."""
    families: dict[str, list[Outcome]] = {"HPOBench": [], "HPOLib": []}
    for outcome in outcomes:
        family = "HPOBench" if ", depth" in outcome.table else "HPOLib"
        families[family].append(outcome)
    lines: list[str] = []
    drawn = {}
    for family, members in families.items():
        for n in sorted({outcome.n_trials for outcome in members}):
            relative = family == "HPOLib"
            found = summaries((o for o in members if o.n_trials == n), relative=relative)
            lines += [f"### {family}, {n} trials", "", *_table(found, relative=relative), ""]
            lines += [*_by_data_set(found), "", *_chosen(found, n), ""]
            drawn[f"{family}, {n} trials"] = found
    write_page(folder / "tabular.md", "python -m benchmarks.tabular", lines)
    _figure(drawn, folder / "tabular.png")


def _table(found: Mapping[str, Summary], *, relative: bool) -> Iterable[str]:
    unit = "% of loss" if relative else "points"
    yield f"| strategy | cost | difference, {unit} | p | worst data set |"
    yield "|---|---|---|---|---|"
    for name, each in found.items():
        low, high = each.interval
        yield (
            f"| {name} | {each.cost:.3f} | {each.difference:+.2f} [{low:+.2f}, {high:+.2f}] "
            f"| {each.p_value:.2g} | {each.worst:+.2f} |"
        )


def _by_data_set(found: Mapping[str, Summary]) -> Iterable[str]:
    data_sets = list(found[REFERENCE].by_data_set)
    yield f"| strategy | {' | '.join(data_sets)} |"
    yield "|---" * (len(data_sets) + 1) + "|"
    for name, each in found.items():
        if name == UNIT or ":" not in name:
            yield f"| {name} | {' | '.join(f'{each.by_data_set[d]:+.2f}' for d in data_sets)} |"


def _chosen(found: Mapping[str, Summary], n: int) -> Iterable[str]:
    """The result of choosing a ladder on the other data sets."""
    ladders = {name: each for name, each in found.items() if name[0] == "1" and ":" not in name}
    limit = 0.25 if n <= 30 else 0.17
    if not (chosen := chosen_elsewhere(ladders, limit)):
        return
    mean = np.mean([difference for _, difference in chosen.values()])
    worst = max(difference for _, difference in chosen.values())
    yield f"For each data set, the ladder that is best on all others at a cost of {limit} or less:"
    yield f"mean {mean:+.2f}, worst {worst:+.2f}."
    yield ""
    yield from (f"- {d}: {name} ({value:+.2f})" for d, (name, value) in chosen.items())


def _figure(drawn: Mapping[str, Mapping[str, Summary]], path: Path) -> None:
    figure = blank_figure(11, 8)
    for axis, (title, found) in zip(figure.subplots(2, 2).flat, drawn.items(), strict=False):
        shown = {n: each for n, each in found.items() if ":" not in n and n != REFERENCE}
        draw_summaries(axis, shown)
        axis.set(title=title, xlabel="cost in full searches", ylabel="difference (down: better)")
    figure.savefig(path, dpi=130)


def draw_summaries(axis: Any, found: Mapping[str, Summary]) -> None:
    """Each strategy's difference, with its interval, against its cost."""
    for name, each in found.items():
        low, high = each.interval
        error = [[each.difference - low], [high - each.difference]]
        axis.errorbar(each.cost, each.difference, error, marker="o", capsize=2)
        axis.annotate(name, (each.cost, each.difference), fontsize=6, rotation=20)
    axis.axhline(0, color="black", linewidth=0.5)
