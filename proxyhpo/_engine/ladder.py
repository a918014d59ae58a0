"""The ladder: its rungs, their order, and the defaults.

``[Rung(1)]`` is ordinary hyperparameter optimization. ``[Rung(.25, keep=3), Rung(1)]`` searches on
a proxy and trains its best three trials again on the full network. More rungs, or rungs with a
smaller budget, give successive halving (arXiv:1502.07943) over width, training length, or both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise, takewhile

from proxyhpo._records.rung import Rung
from proxyhpo._validation import check_whole
from proxyhpo.errors import ArgumentError

__all__ = [
    "AT_END",
    "check_ladder",
    "default_ladder",
    "early_climbs",
    "finalists_of",
    "repeats_of",
    "with_finalists",
]


FINALISTS = 4
"""Trials that reach the full network in a search of :data:`_MANY` trials.

In replays of five networks on CIFAR-10 and text, more than four finalists found no better configs:
the best of many noisy values is partly luck. Among 20 configs two finalists found configs as good
as four did, at two thirds of the cost; a single one lost up to half a point.
"""

AT_END = 2
"""Finalists that are chosen at the end, when all trials can be compared.

A search of at most two finalists has only one of them.
"""

_FEW = 10
"""Trials below which a search has a single finalist."""

_MANY = 40
"""Trials from which on each doubling of a search adds a finalist, which is promoted early.

It keeps the best config of a long search up to date, for a small share of the cost.
"""

_UNLIMITED = 1_000_000
"""A search without a number of trials is planned as one of so many."""

_FIRST_EARLY = 8
"""Number of trials after which one is promoted early for the first time."""

REPEATS = 2
"""Trainings under another seed, of the two best trials together, in a search of 30 or more.

A search that goes on gets as many again if :data:`REPEATS_SHARE` allows it: 4 need 60 trials.
"""

REPEATS_SHARE = 1 / 15
"""The largest share of a full search's trainings that these may be.

In a search of 20 trials they would cost a tenth of a full search, as much as its two finalists.
"""


def default_ladder(density: float, finalists: int | None) -> list[Rung]:
    """A ladder of two rungs: a proxy, and the full network for the best few trials.

    In replays of five networks, an additional rung of half the width found no better configs.

    Args:
        density: of the proxy.
        finalists: how many trials reach the full network. None means the default.
    """
    if finalists is not None:
        finalists = check_whole("finalists", finalists, 1)
    return [Rung(density, keep=finalists or FINALISTS), Rung(1)]


def check_ladder(ladder: Sequence[Rung], *, takes_budget: bool) -> tuple[Rung, ...]:
    """The same ladder, if a study can climb it.

    Args:
        ladder: the rungs, cheapest first.
        takes_budget: whether trainings can be made shorter.

    Raises:
        ArgumentError: names the rung, if the ladder is empty or does not end with the full network,
            a rung has no ``keep`` (or the last one has), a rung is cheaper or keeps more than the
            one below, or a budget below 1 is not supported.
    """
    rungs = _rungs(ladder, takes_budget=takes_budget)
    if not rungs or not rungs[-1].is_base:
        raise ArgumentError(
            f"ladder: the last rung must be the full network, Rung(1), got {list(rungs)}"
        )
    if rungs[-1].keep is not None:
        raise ArgumentError(f"ladder: the last rung must not have keep=, got {rungs[-1].keep}")
    for index, (below, above) in enumerate(pairwise(rungs)):
        if below.keep is None:
            raise ArgumentError(
                f"ladder: rung {index} needs keep=, the number of trials to promote"
            )
        if above.keep is not None and above.keep > below.keep:
            raise ArgumentError(
                f"ladder: rung {index + 1} keeps {above.keep}, more than the {below.keep} that "
                f"rung {index} promotes"
            )
        if _size(above) < _size(below) and above.budget <= below.budget:
            raise ArgumentError(
                f"ladder: the rungs must be in order, the cheapest first, but rung {index + 1} is "
                f"cheaper than rung {index}, got {list(rungs)}"
            )
    return rungs


def _rungs(ladder: Sequence[Rung], *, takes_budget: bool) -> tuple[Rung, ...]:
    if not isinstance(ladder, Sequence):
        raise ArgumentError(f"ladder must be a list of Rungs, got {ladder!r}")
    rungs = tuple(ladder)
    for index, rung in enumerate(rungs):
        if not isinstance(rung, Rung):
            raise ArgumentError(f"ladder: entry {index} must be a Rung, got {rung!r}")
        if rung.budget < 1 and not takes_budget:
            raise ArgumentError(
                f"ladder: rung {index} has budget {rung.budget}, but train has no parameter "
                "`budget`. Add it (the fraction of a full training, within which the schedule must "
                "anneal), or set steps= (the number of reports in a full training) to end "
                "trainings after that fraction of the reports."
            )
    return rungs


def finalists_of(n_trials: float) -> int:
    """The default number of trials that reach the full network.

    It is one in ten up to 40 trials, but at least two from ten trials on. From there on, each
    doubling adds one. So the finalists of a search of 20 trials or more cost at most a tenth of a
    full search.

    >>> [finalists_of(n) for n in (3, 9, 10, 25, 30, 79, 80, 200)]
    [1, 1, 2, 2, 3, 4, 5, 6]
    """
    if n_trials >= _MANY:
        return FINALISTS + int(math.log2(min(n_trials, _UNLIMITED) / _MANY))
    return max(1 if n_trials < _FEW else 2, int(n_trials / 10))


def early_climbs(finalists: int, n_trials: float) -> tuple[int, ...]:
    """After how many trials the best one so far is promoted early: 8, and each doubling.

    Two finalists are left for the end, or one if there are at most two.

    >>> [early_climbs(finalists_of(n), n) for n in (6, 12, 60, 200)]
    [(), (8,), (8, 16), (8, 16, 32, 64)]
    """
    most = finalists - (1 if finalists <= AT_END else AT_END)
    points = (_FIRST_EARLY * 2**place for place in range(most))
    return tuple(takewhile(lambda point: point < n_trials, points))


def repeats_of(n_trials: float, before: int = 0) -> int:
    """The default number of trainings that distinguish the best two trials by further seeds.

    A search that goes on may have another best two, so it gets more repeats. But all together may
    cost at most :data:`REPEATS_SHARE` of a full search.

    >>> [repeats_of(n) for n in (12, 29, 30, 200)]
    [0, 0, 2, 2]
    >>> [repeats_of(n, before=2) for n in (31, 59, 60, 200)]
    [2, 2, 4, 4]

    Args:
        n_trials: number of trials.
        before: how many repeats were made before the last trial was added.
    """
    more = before + REPEATS
    return more if REPEATS_SHARE * n_trials >= more else before


def with_finalists(ladder: Sequence[Rung], finalists: int) -> tuple[Rung, ...]:
    """The ladder with another number of trials that reach the full network."""
    finalists = check_whole("finalists", finalists, 1)
    if len(ladder) == 1:
        raise ArgumentError(
            "finalists: a ladder of one rung has none; it trains every trial on the full network"
        )
    lower = [replace(rung, keep=max(rung.keep or 1, finalists)) for rung in ladder[:-2]]
    return (*lower, replace(ladder[-2], keep=finalists), ladder[-1])


def _size(rung: Rung) -> float:
    """A key to order rungs by; the cost of a density lies between the density and its square."""
    return rung.density if rung.density is not None else float(rung.cost or 0) ** 0.5
