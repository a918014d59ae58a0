"""How well proxies rank the configs of fine-tuning, as a page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.pages import blank_figure
from benchmarks.rows import Row
from proxyhpo._report.ranking import Floats, interval, overlap, regret, spearman

__all__ = ["Run", "draw", "page", "table"]


@dataclass(frozen=True)
class Run:
    """What a config is trained on.

    Args:
        density: of the network.
        exponent: power of the width ratio that multiplies the learning rates.
        seed: 0, or 1 for the second training of the full network.
        layerwise: whether updates are scaled layer by layer.
    """

    density: float
    exponent: float
    seed: int = 0
    layerwise: bool = False


TARGET, AGAIN = Run(1.0, 0.0), Run(1.0, 0.0, 1)
K = 3
BEST = 0.4  # share of the configs among which the ranking is compared separately
FEWEST = 8  # minimum number of configs for a table
HEAD = (
    "density", "learning rates", "time", "Spearman", "minus unchanged",
    f"Spearman, best {BEST:.0%}", f"best {K} shared", f"regret of the best {K}, points",
)  # fmt: skip


def page(found: Mapping[str, Sequence[Mapping[Run, Row]]]) -> Iterator[str]:
    """The page in markdown.

    Args:
        found: task → the results of each config whose trainings are complete.
    """
    for task, configs in found.items():
        yield f"## {task.capitalize()}\n"
        if len(configs) < FEWEST:
            yield f"Only {len(configs)} configs have been trained on all networks: no table.\n"
            continue
        accuracies = [config[TARGET]["accuracy"] for config in configs]
        yield (
            f"{len(configs)} configs; the full network's accuracies are between "
            f"{min(accuracies):.1%} and {max(accuracies):.1%}, half of them above "
            f"{np.median(accuracies):.1%}.\n"
        )
        yield from table(configs)
        yield ""


def table(configs: Sequence[Mapping[Run, Row]]) -> Iterator[str]:
    """A row for each kind of proxy, and one for the full network under another seed."""
    yield f"| {' | '.join(HEAD)} |"
    yield "|---" * len(HEAD) + "|"
    for run in _rows(configs):
        yield f"| {' | '.join(_cells(run, configs))} |"


def draw(found: Mapping[str, Sequence[Mapping[Run, Row]]], path: Path) -> None:
    """Draws how well proxies rank the configs against the time that they take."""
    figure = blank_figure(5 * len(found), 4)
    axes = figure.subplots(1, len(found), squeeze=False)[0]
    for axis, (task, configs) in zip(axes, found.items(), strict=True):
        y = _losses(TARGET, configs)
        for run in _rows(configs) if len(configs) >= FEWEST else ():
            x = _losses(run, configs)
            rank = float(spearman(x, y))
            low, high = interval(spearman, x, y)
            time, error = _time(run, configs), [[rank - low], [high - rank]]
            axis.errorbar(time, rank, error, marker="o", capsize=2)
            axis.annotate(" ".join(_names(run)), (time, rank), fontsize=7, rotation=20)
        axis.set(title=task, xlabel="time, of the full network's", ylabel="Spearman")
    figure.savefig(path, dpi=110)


def _rows(configs: Sequence[Mapping[Run, Row]]) -> list[Run]:
    proxies = (run for run in configs[0] if run.density < 1)
    return [*sorted(proxies, key=lambda run: (run.density, run.layerwise, -run.exponent)), AGAIN]


def _cells(run: Run, configs: Sequence[Mapping[Run, Row]]) -> Iterator[str]:
    x, y = _losses(run, configs), _losses(TARGET, configs)
    yield from _names(run)
    yield f"{_time(run, configs):.2f}"
    yield _estimate(spearman, x, y, "{:.2f}")
    if run.exponent or run.layerwise:
        both = np.stack([x, _losses(Run(run.density, 0.0), configs)], -1)
        yield _estimate(_more, both, y, "{:+.2f}")
    else:
        yield ""
    best = np.argsort(y, kind="stable")[: max(K, round(BEST * len(y)))]
    yield _estimate(spearman, x[best], y[best], "{:.2f}")
    yield _estimate(partial(overlap, k=K), x, y, "{:.2f}")
    yield _estimate(partial(regret, k=K), x, 100 * y, "{:.1f}")


def _names(run: Run) -> tuple[str, str]:
    """Density and learning rates."""
    if run == AGAIN:
        return "1, another seed", ""
    if run.layerwise:
        return f"{run.density:g}", "layer by layer"
    return f"{run.density:g}", f"^{run.exponent:+g}" if run.exponent else "unchanged"


def _time(run: Run, configs: Sequence[Mapping[Run, Row]]) -> float:
    own, full = (sum(config[each]["seconds"] for config in configs) for each in (run, TARGET))
    return float(own / full)


def _losses(run: Run, configs: Sequence[Mapping[Run, Row]]) -> Floats:
    return np.array([-config[run]["accuracy"] for config in configs], float)


def _more(both: Floats, y: Floats) -> Floats:
    """How much closer the first list of ``both`` ranks to ``y`` than the second one."""
    found: Floats = spearman(both[..., 0], y) - spearman(both[..., 1], y)
    return found


def _estimate(measure: Callable[[Floats, Floats], Floats], x: Floats, y: Floats, form: str) -> str:
    low, high = interval(measure, x, y)
    return f"{form} [{form}, {form}]".format(float(measure(x, y)), low, high)
