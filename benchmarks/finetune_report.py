"""How well proxies rank the configs of fine-tuning, as a page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from benchmarks.rows import Row
from proxyhpo.ranking import Floats, interval, overlap, regret, spearman

__all__ = ["Run", "page", "table"]


@dataclass(frozen=True)
class Run:
    """What a config is trained on.

    Args:
        density: of the network.
        exponent: power of the width ratio that multiplies the learning rates.
        seed: 0, or 1 for the second training of the full network.
    """

    density: float
    exponent: float
    seed: int = 0


TARGET, AGAIN = Run(1.0, 0.0), Run(1.0, 0.0, 1)
K = 3
BEST = 0.4  # the share of the configs among which ranks are compared once more
FEWEST = 8  # configs of which a table is made
HEAD = (
    "density", "learning rates", "time", "Spearman", "less that as they are",
    f"Spearman, best {BEST:.0%}", f"best {K} shared", f"regret of the best {K}, points",
)  # fmt: skip

INTRODUCTION = """# Rankings in fine-tuning

A convolutional network (four layers, batch normalisation) is trained on some classes of CIFAR-10 at
16x16 and fine-tuned under AdamW on 400 images of other ones, with random configs over the learning
rates of body and new head, weight decay and batch size. A proxy is what `l1-structured` makes of
the pretrained network: it inherits the weights that it keeps. Its learning rates are multiplied by
its width ratio to the power given. The target is the full network's validation accuracy under one
seed; the last row is the same network under another seed, and no proxy can be asked for more. No
two trainings share a seed. Time is the processor's, as a share of the full network's. Intervals are
bootstrapped over the configs. Written by `python -m benchmarks.finetune --report`.
"""


def page(found: Mapping[str, Sequence[Mapping[Run, Row]]]) -> Iterator[str]:
    """As markdown.

    Args:
        found: task → for each config that has been trained on everything, what came of it.
    """
    yield INTRODUCTION
    for task, configs in found.items():
        yield f"## {task.capitalize()}\n"
        if len(configs) < FEWEST:
            yield f"{len(configs)} configs have been trained on everything: too few for a table.\n"
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
    proxies = sorted(
        (run for run in configs[0] if run.density < 1), key=lambda run: (run.density, -run.exponent)
    )
    for run in (*proxies, AGAIN):
        yield f"| {' | '.join(_cells(run, configs))} |"


def _cells(run: Run, configs: Sequence[Mapping[Run, Row]]) -> Iterator[str]:
    x, y = _losses(run, configs), _losses(TARGET, configs)
    yield "1, another seed" if run == AGAIN else f"{run.density:g}"
    yield "" if run == AGAIN else "as they are" if not run.exponent else f"^{run.exponent:+g}"
    own, full = (sum(config[each]["seconds"] for config in configs) for each in (run, TARGET))
    yield f"{own / full:.2f}"
    yield _estimate(spearman, x, y, "{:.2f}")
    if run.exponent:
        both = np.stack([x, _losses(Run(run.density, 0.0), configs)], -1)
        yield _estimate(_more, both, y, "{:+.2f}")
    else:
        yield ""
    best = np.argsort(y, kind="stable")[: max(K, round(BEST * len(y)))]
    yield _estimate(spearman, x[best], y[best], "{:.2f}")
    yield _estimate(partial(overlap, k=K), x, y, "{:.2f}")
    yield _estimate(partial(regret, k=K), x, 100 * y, "{:.1f}")


def _losses(run: Run, configs: Sequence[Mapping[Run, Row]]) -> Floats:
    return np.array([-config[run]["accuracy"] for config in configs], float)


def _more(both: Floats, y: Floats) -> Floats:
    """By how much the first list of ``both`` ranks more like ``y`` than the second one does."""
    found: Floats = spearman(both[..., 0], y) - spearman(both[..., 1], y)
    return found


def _estimate(measure: Callable[[Floats, Floats], Floats], x: Floats, y: Floats, form: str) -> str:
    low, high = interval(measure, x, y)
    return f"{form} [{form}, {form}]".format(float(measure(x, y)), low, high)
