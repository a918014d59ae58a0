"""What the compared searches come to, by task and over the tasks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.pages import blank_figure

__all__ = ["FRACTIONS", "REFERENCE", "Search", "draw", "report"]

Floats = npt.NDArray[np.float64]
Found = Mapping[str, Sequence["Search"]]
"""Peer → its searches, one a seed, of one task."""

OURS, REFERENCE = "proxyhpo", "Optuna TPE"
FRACTIONS = (0.04, 0.1, 0.15, 0.25, 0.5, 1.0)
"""Of the reference's time, after which searches are judged."""
_MEANS = (("full_trainings", 1), ("seconds", 2), ("first", 3), ("outside", 3))
_MANY = 3  # seeds, for an interval


@dataclass(frozen=True)
class Search:
    """A search with one seed. Times are shares of the reference's time with that seed.

    Args:
        accuracies: test accuracy of what it would have returned after each of the fractions.
        end: the same at its own end.
        seconds: that it took in all.
        outside: share of that which was not spent inside of trainings.
        first: when it had its first full training.
        full_trainings: of the full network, to the end.
    """

    accuracies: Sequence[float]
    end: float
    seconds: float
    outside: float
    first: float
    full_trainings: int


def report(
    tasks: Mapping[str, Found], others: Mapping[str, Mapping[str, Found]] | None = None
) -> Iterator[str]:
    """As markdown: over all tasks that have finished seeds, and for each of them.

    Args:
        tasks: the searches of each task.
        others: further peer → its searches of each task and those of the reference, for which
            fewer seeds may have been finished; only their means over the tasks are shown.
    """
    tasks = _with_seeds(tasks)
    if not tasks:
        yield f"no seed of any task has been finished by all searches ({REFERENCE} among them)"
        return
    seeds = ", ".join(f"{name} {len(found[REFERENCE])}" for name, found in tasks.items())
    yield f"Seeds: {seeds}. Accuracy and differences are in points of test accuracy."
    yield from ["", "## Over the tasks", ""]
    yield "The mean over the tasks, against what the reference has at the same time."
    yield ""
    yield from _over_tasks(tasks)
    for name, found in tasks.items():
        yield from ["", f"## {name.capitalize()}", ""]
        yield from _of_task(found)
    finished = {
        peer: own for peer, own in (others or {}).items() if len(_with_seeds(own)) == len(own)
    }
    if finished:
        yield from ["", "## Other searches", ""]
        yield "The mean over the tasks, for the seeds that have been run."
        yield ""
        yield from _of_others(finished)


def _with_seeds(tasks: Mapping[str, Found]) -> Mapping[str, Found]:
    """The tasks that have finished seeds."""
    return {name: found for name, found in tasks.items() if found.get(REFERENCE)}


def _over_tasks(tasks: Mapping[str, Found]) -> Iterator[str]:
    yield from _head("search", *_MEANS_OVER_TASKS, "mean rank")
    for name, rank in _mean_ranks(tasks).items():
        yield _row([name, *_means_over_tasks(name, tasks), f"{rank:.1f}"])


def _of_others(others: Mapping[str, Mapping[str, Found]]) -> Iterator[str]:
    yield from _head("search", "seeds", *_MEANS_OVER_TASKS)
    for name, tasks in others.items():
        seeds = {len(found[REFERENCE]) for found in tasks.values()}
        counts = "-".join(f"{count}" for count in sorted({min(seeds), max(seeds)}))
        yield _row([name, counts, *_means_over_tasks(name, tasks)])


_MEANS_OVER_TASKS = (
    "time",
    "difference at its end",
    "as good after",
    *(f"at {fraction:g}" for fraction in FRACTIONS),
)


def _means_over_tasks(name: str, tasks: Mapping[str, Found]) -> list[str]:
    """The cells of :data:`_MEANS_OVER_TASKS`."""
    ends = [_ends(found[name]) - _ends(found[REFERENCE]) for found in tasks.values()]
    at = np.mean(
        [(_at(found[name]) - _at(found[REFERENCE])).mean(0) for found in tasks.values()], axis=0
    )
    time, after = f"{_seconds(name, tasks):.2f}", _as_good_after(name, tasks)
    return [time, _mean_of_tasks(ends), after, *(f"{each:+.2f}" for each in at)]


def _of_task(found: Found) -> Iterator[str]:
    columns = [f"at {fraction:g}" for fraction in FRACTIONS]
    yield from _head(
        *("search", "full trainings", "time", "first result", "outside of trainings", *columns),
        *("end", "difference", "median", "worst", "better in"),
    )
    for name, searches in found.items():
        differences = _ends(searches) - _ends(found[REFERENCE])
        better = np.mean((differences > 0) + 0.5 * (differences == 0))
        yield _row([
            name,
            *(f"{np.mean([getattr(s, each) for s in searches]):.{digits}f}"
              for each, digits in _MEANS),
            *(f"{each:.2f}" for each in _at(searches).mean(0)),
            f"{_ends(searches).mean():.2f}",
            _interval(differences),
            f"{np.median(differences):+.2f}",
            f"{differences.min():+.2f}",
            f"{better:.0%}",
        ])  # fmt: skip


def _head(*columns: str) -> Iterator[str]:
    yield _row(columns)
    yield _row(["---"] * len(columns))


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _ends(searches: Sequence[Search]) -> Floats:
    return 100 * np.array([each.end for each in searches])


def _at(searches: Sequence[Search]) -> Floats:
    """Of shape (seeds, fractions)."""
    return 100 * np.array([each.accuracies for each in searches])


def _as_good_after(name: str, tasks: Mapping[str, Found]) -> str:
    """The first time at which the mean is as good as what the reference ends with.

    Only the judged times and the mean time of the search's own end are known.
    """
    target = _mean_end(REFERENCE, tasks) - 1e-9
    means = np.mean([_at(found[name]).mean(0) for found in tasks.values()], axis=0)
    good = [f"{FRACTIONS[place]:g}" for place in np.flatnonzero(means >= target)]
    if _mean_end(name, tasks) >= target:
        good.append(f"{_seconds(name, tasks):.2f}")
    return min(good, key=float, default="never")


def _seconds(name: str, tasks: Mapping[str, Found]) -> float:
    """The mean time of a search over the tasks, as a share of the reference's."""
    return float(np.mean([np.mean([s.seconds for s in found[name]]) for found in tasks.values()]))


def _mean_end(name: str, tasks: Mapping[str, Found]) -> float:
    """What a search ends with, in the mean over the tasks."""
    return float(np.mean([_ends(found[name]).mean() for found in tasks.values()]))


def _mean_ranks(tasks: Mapping[str, Found]) -> dict[str, float]:
    """Peer → its mean rank by what it ends with, over tasks and seeds; 1 is best."""
    from scipy.stats import rankdata  # noqa: PLC0415 - slow to import

    names = list(next(iter(tasks.values())))
    ranks = [
        rankdata([-found[name][seed].end for name in names])
        for found in tasks.values()
        for seed in range(len(found[REFERENCE]))
    ]
    return dict(zip(names, np.mean(ranks, axis=0), strict=True))


def _interval(differences: Floats) -> str:
    """Their mean with a 95 % BCa bootstrap interval (Efron, 1987), if there are enough."""
    from scipy.stats import bootstrap  # noqa: PLC0415 - slow to import

    mean = f"{differences.mean():+.2f}"
    if len(differences) < _MANY or np.ptp(differences) == 0:
        return mean
    between = bootstrap((differences,), np.mean, method="BCa", random_state=0).confidence_interval
    return f"{mean} [{between.low:+.2f}, {between.high:+.2f}]"


def _mean_of_tasks(differences: Sequence[Floats]) -> str:
    """The mean over tasks with a 95 % interval, from the standard errors of the tasks' means.

    Student's t, with the degrees of freedom of Welch (1947) for the sum of the tasks' variances.
    """
    from scipy.stats import t  # noqa: PLC0415 - slow to import

    mean = np.mean([each.mean() for each in differences])
    if min(map(len, differences)) < _MANY:
        return f"{mean:+.2f}"
    variances = np.array([each.var(ddof=1) / len(each) for each in differences])
    if not variances.any():  # those of the reference to itself
        return f"{mean:+.2f}"
    freedom = variances.sum() ** 2 / sum(
        variance**2 / (len(each) - 1) for variance, each in zip(variances, differences, strict=True)
    )
    half = t.ppf(0.975, freedom) * np.sqrt(variances.sum()) / len(variances)
    return f"{mean:+.2f} [{mean - half:+.2f}, {mean + half:+.2f}]"


def draw(tasks: Mapping[str, Found], path: Path) -> None:
    """The regret of each search over time, with standard errors, by task, as an image.

    Regret is how far the mean accuracy is below the best mean that any search has in the task.
    """
    tasks = _with_seeds(tasks)
    figure = blank_figure(4.5 * len(tasks), 4.5)
    axes = np.atleast_1d(figure.subplots(1, len(tasks)))
    for axis, (task, found) in zip(axes, tasks.items(), strict=True):
        best = max(_at(searches).mean(0).max() for searches in found.values())
        for name, searches in found.items():
            at = _at(searches)
            regret = best - at.mean(0)
            width = 3 if name == OURS else 1
            (line,) = axis.plot(FRACTIONS, regret, marker=".", label=name, linewidth=width)
            if len(at) >= _MANY:
                half = at.std(0, ddof=1) / np.sqrt(len(at))
                axis.fill_between(
                    FRACTIONS, regret - half, regret + half, color=line.get_color(), alpha=0.15
                )
        axis.set(xscale="log", yscale="symlog", title=task, xlabel=f"share of {REFERENCE}'s time")
        axis.set_xticks(FRACTIONS, [f"{fraction:g}" for fraction in FRACTIONS])
        axis.set_xticks([], minor=True)
        ticks = [0, 0.5, 1, 2, 5, 10, 20]
        axis.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
        axis.set_ylim(-0.2, None)
    axes[0].set(ylabel="regret, points of test accuracy")
    axes[-1].legend(fontsize=7)
    figure.savefig(path, dpi=110)
