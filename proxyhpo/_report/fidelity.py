"""How well one rung stands in for another, measured on the configs that were trained on both.

A rank correlation over all configs makes every proxy look good, since bad configs are easy to
recognize. It is therefore reported together with the share of the best configs that the proxy
finds, and the regret of choosing by the proxy. Where available, the same measures are given for
*another seed of the more expensive rung*: no proxy can be expected to agree better. The configs
that are promoted in a search are its best ones, and even a good proxy ranks these poorly. Only
configs that were not selected for being best can therefore count against a proxy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, final

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from proxyhpo._records.history import History
from proxyhpo._records.rung import Rung
from proxyhpo._report.ranking import (
    Floats,
    Measure,
    interval,
    kendall,
    overlap,
    permutation_test,
    regret,
    spearman,
)
from proxyhpo._report.wording import rung_words

__all__ = [
    "Estimate",
    "Fidelities",
    "Fidelity",
    "Verdict",
    "between",
    "fidelities",
    "fidelity",
    "losses_of_another_seed",
]

Verdict = Literal["trust", "trust with re-ranking", "do not use this proxy", "too little evidence"]

_FEWEST = 3  # pairs needed for a correlation
_ENOUGH_TO_TRUST = 8
_ENOUGH_TO_REFUSE = 10
_ENOUGH_WITHOUT_RERANKING = 30
_LEVEL = 0.04
_WEAK = 0.5
_MARGIN = 0.1


@dataclass(frozen=True, repr=False)
class Estimate:
    """A measure on the available pairs, and its 95 % bootstrap interval."""

    value: float
    low: float
    high: float

    def __repr__(self) -> str:
        return f"{self.value:.3g} [{self.low:.3g}, {self.high:.3g}]"


@dataclass(frozen=True, repr=False)
class Fidelity:
    """How well a cheap rung stands in for an expensive one.

    Args:
        lower: index of the cheaper rung.
        upper: index of the more expensive rung.
        n: number of configs that succeeded on both.
        picked: how many of them were promoted because they were among the best of the cheaper rung.
        k: number of best configs that ``overlap`` and ``regret`` consider.
        spearman: rank correlation in [-1, 1]. All measures are None with fewer than 3 pairs, or if
            all losses of a rung are equal.
        kendall: Kendall's tau-b in [-1, 1].
        overlap: share of the best ``k`` of the expensive rung among the best ``k`` of the cheaper.
        regret: how much worse the best of the cheaper rung's best ``k`` is than the best of all
            configs, on the expensive rung, in the user's units.
        p_value: of a one-sided permutation test of the hypothesis that the rungs are unrelated.
        ceiling: the same measures for another seed of the expensive rung, if there was one.
        behind: difference between the ceiling's ``spearman`` and this one, on the same configs.
        names: what is trained at the two rungs, for messages.
    """

    lower: int
    upper: int
    n: int
    picked: int
    k: int
    spearman: Estimate | None = None
    kendall: Estimate | None = None
    overlap: Estimate | None = None
    regret: Estimate | None = None
    p_value: float | None = None
    ceiling: Fidelity | None = None
    behind: Estimate | None = None
    names: tuple[str, str] | None = None

    @property
    def verdict(self) -> Verdict:
        """What the evidence allows.

        - ``too little evidence``: fewer than 8 configs, or no relation found among configs that
          were selected for being best.
        - ``do not use this proxy``: with at least 10 configs that were not selected, the hypothesis
          "no relation" is not rejected at the level .04, or the rank correlation is below .5 with
          95 % confidence.
        - ``trust with re-ranking``: it is rejected, and the expensive rung must choose among the
          best. This verdict separates a proxy from noise, not a good one from a mediocre one. The
          regret says how much a search loses.
        - ``trust``: on at least 30 configs, another seed of the expensive rung ranks them better by
          at most .1 of Spearman's rho, with 95 % confidence. The proxy's best config is then as
          good a choice as the best of a search that trained each config once on the full network.
        """
        if self.p_value is None or self.spearman is None or self.n < _ENOUGH_TO_TRUST:
            return "too little evidence"
        if self.p_value > _LEVEL or self.spearman.high < _WEAK:
            enough = self.n - self.picked >= _ENOUGH_TO_REFUSE
            return "do not use this proxy" if enough else "too little evidence"
        if self.behind is None or self.n < _ENOUGH_WITHOUT_RERANKING:
            return "trust with re-ranking"
        return "trust" if self.behind.high <= _MARGIN else "trust with re-ranking"

    def __repr__(self) -> str:
        """A summary, with one fact per line."""
        picked = f", {self.picked} of them selected as the best" if self.picked else ""
        lower, upper = self._names
        head = f"{lower} standing in for {upper} (n={self.n}{picked}): {self.verdict}"
        rows = [
            ("Spearman", "spearman"),
            ("Kendall", "kendall"),
            (f"overlap of the best {self.k}", "overlap"),
            (f"regret of the best {self.k}", "regret"),
        ]
        return "\n".join([head, *(line for row in rows if (line := self._line(*row)))])

    @property
    def _names(self) -> tuple[str, str]:
        return self.names or (f"rung {self.lower}", f"rung {self.upper}")

    def _line(self, title: str, name: str) -> str | None:
        own: Estimate | None = getattr(self, name)
        if own is None:
            return None
        if self.n < _ENOUGH_TO_TRUST:  # bootstrapping so few configs is meaningless
            return f"  {title} {own.value:.3g}"
        other = getattr(self.ceiling, name, None)
        beside = "" if other is None else f"; another seed of {self._names[1]}: {other}"
        return f"  {title} {own}{beside}"


@final
class Fidelities(list[Fidelity]):
    """The fidelity of several pairs of rungs: a list that prints one summary after another."""

    @override
    def __repr__(self) -> str:
        if not self:
            return "all trainings are of the full network: there is no proxy to compare with it"
        return "\n".join(map(repr, self))


def fidelity(
    lower: npt.ArrayLike,
    upper: npt.ArrayLike,
    again: npt.ArrayLike | None = None,
    *,
    k: int = 3,
    picked: int = 0,
    rungs: tuple[int, int] = (0, 1),
) -> Fidelity:
    """Compares the losses (lower is better) of the same configs on two rungs.

    Args:
        lower: on the cheaper rung.
        upper: on the expensive rung, in the same order.
        again: on the expensive rung with another seed; NaN for a config that was not trained again.
        k: number of best configs to consider; reduced if there are few configs.
        picked: how many configs were selected for being best on the cheaper rung.
        rungs: their indices in the ladder.

    >>> found = fidelity(range(12), [1, 0, 2, 3, 5, 4, 6, 7, 9, 8, 10, 11])
    >>> found.verdict, found.overlap.value, found.regret.value
    ('trust with re-ranking', 1.0, 0.0)
    """
    x, y = np.asarray(lower, float), np.asarray(upper, float)
    n = len(x)
    k = max(1, min(k, n // 4))
    bare = Fidelity(*rungs, n, picked, k)
    if n < _FEWEST or np.isnan(spearman(x, y)):
        return bare
    ceiling, behind = None, None
    if again is not None:
        z = np.asarray(again, float)
        both = ~np.isnan(z)
        ceiling = fidelity(z[both], y[both], k=k, picked=picked, rungs=(rungs[1], rungs[1]))
        if ceiling.spearman is not None:
            behind = _estimate(_shortfall, np.stack([x[both], z[both]], -1), y[both])
    return Fidelity(
        *rungs,
        n,
        picked,
        k,
        spearman=_estimate(spearman, x, y),
        kendall=_estimate(kendall, x, y),
        overlap=_estimate(partial(overlap, k=k), x, y),
        regret=_estimate(partial(regret, k=k), x, y),
        p_value=permutation_test(x, y),
        ceiling=ceiling,
        behind=behind,
    )


def fidelities(history: History, ladder: Sequence[Rung]) -> Fidelities:
    """The fidelity between each rung and the next one, and between the first and the last."""
    top = len(ladder) - 1
    pairs = [(rung, rung + 1) for rung in range(top)]
    if top > 1:
        pairs.append((0, top))
    return Fidelities(between(history, ladder, lower, upper) for lower, upper in pairs)


def between(history: History, ladder: Sequence[Rung], lower: int, upper: int) -> Fidelity:
    """How well one rung stands in for another one above it."""
    x, y = (_losses(history, rung) for rung in (lower, upper))
    both = sorted(x.keys() & y.keys())
    again = losses_of_another_seed(history, ladder, lower, upper)
    found = fidelity(
        [x[trial] for trial in both],
        [y[trial] for trial in both],
        [again.get(trial, np.nan) for trial in both] if again else None,
        k=min(3, ladder[lower].keep or 3),
        picked=_picked(history, ladder, lower, upper, both),
        rungs=(lower, upper),
    )
    lower_name, upper_name = (rung_words(history, ladder, rung) for rung in (lower, upper))
    return replace(found, names=(lower_name, upper_name))


def _losses(history: History, rung: int) -> dict[int, float]:
    return {
        record.trial: record.loss
        for record in history.records
        if record.rung == rung
        and record.state == "finished"
        and record.loss is not None
        and not record.replicate  # a second seed is for the best two alone
    }


def losses_of_another_seed(
    history: History, ladder: Sequence[Rung], lower: int, upper: int
) -> dict[int, float]:
    """Trial → loss at a rung that differs from the upper one only in its seed; empty if none."""
    same = [rung for rung, other in enumerate(ladder) if _place(other) == _place(ladder[upper])]
    if lower in same:
        return {}
    return next((_losses(history, rung) for rung in same if rung != upper), {})


def _place(rung: Rung) -> tuple[float | None, float | None, float]:
    return rung.density, rung.cost, rung.budget


def _picked(
    history: History, ladder: Sequence[Rung], lower: int, upper: int, both: Sequence[int]
) -> int:
    """How many of the configs on both rungs were selected by the lower one."""
    below = {
        record.trial
        for record in history.records
        if record.rung == lower and record.state != "failed"
    }
    above = {record.trial for record in history.records if record.rung == upper}
    if below <= above or (ladder[lower].keep or 0) >= len(history.trials):
        return 0  # all reach the upper rung, so there is no selection
    return sum(trial not in history.controls for trial in both)


def _estimate(measure: Measure, x: Floats, y: Floats) -> Estimate:
    return Estimate(float(measure(x, y)), *interval(measure, x, y))


def _shortfall(both: Floats, y: Floats) -> Floats:
    """How much closer the second list of ``both`` ranks to ``y`` than the first one."""
    found: Floats = spearman(both[..., 1], y) - spearman(both[..., 0], y)
    return found
