"""Whether two lists of losses rank configs alike: measures, their intervals, and a test.

A measure takes two arrays of shape (..., n), the losses of n configs (lower is better) on a cheap
and on an expensive rung, and returns an array of shape (...). Resampled lists are further rows.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

__all__ = ["interval", "kendall", "overlap", "permutation_test", "regret", "spearman"]

Floats = npt.NDArray[np.float64]
Measure = Callable[[Floats, Floats], Floats]

_RESAMPLES = 1000
_PERMUTATIONS = 5000
_BLOCK = 2_000_000  # maximum entries of an array of shape (resamples, n, n)


def kendall(x: Floats, y: Floats) -> Floats:
    """Kendall's tau-b in [-1, 1]; NaN where all losses of a list are equal.

    >>> kendall(np.array([1.0, 2, 3, 4]), np.array([1.0, 2, 4, 3])).round(3).item()
    0.667
    """
    return _cosine(_signs(x), _signs(y))


def spearman(x: Floats, y: Floats) -> Floats:
    """Spearman's rho in [-1, 1]; NaN where all losses of a list are equal.

    >>> spearman(np.array([1.0, 2, 3, 4]), np.array([1.0, 2, 4, 3])).round(3).item()
    0.8
    """
    return _cosine(_centred_ranks(x), _centred_ranks(y))


def overlap(x: Floats, y: Floats, k: int) -> Floats:
    """The share of the best ``k`` of one list that is among the best ``k`` of the other.

    Equal losses are treated as if their order were drawn at random; this gives the expected share.

    >>> overlap(np.array([1.0, 2, 3, 4]), np.array([1.0, 3, 2, 4]), 2).item()
    0.5
    """
    found: Floats = (_in_best(x, k) * _in_best(y, k)).sum(-1) / k
    return found


def regret(x: Floats, y: Floats, k: int) -> Floats:
    """How much worse the best of ``x``'s best ``k`` is than the best of all, in units of ``y``.

    >>> regret(np.array([1.0, 2, 3, 4]), np.array([5.0, 4, 7, 1]), 2).item()
    3.0
    """
    best = np.argsort(x, axis=-1, kind="stable")[..., :k]
    found: Floats = np.take_along_axis(y, best, -1).min(-1) - y.min(-1)
    return found


def interval(measure: Measure, x: Floats, y: Floats) -> tuple[float, float]:
    """The 95 % percentile-bootstrap interval of a measure (Efron, 1979), by resampling pairs.

    Equal lists give equal intervals. Both ends are NaN if the measure is undefined on all
    resamples.
    """
    n = len(x)
    drawn = np.random.default_rng(0).integers(n, size=(_RESAMPLES, n))
    blocks = np.array_split(drawn, -(-drawn.size * n // _BLOCK))
    found = np.concatenate([measure(x[block], y[block]) for block in blocks])
    found = found[~np.isnan(found)]
    if not found.size:
        return float("nan"), float("nan")
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)


def permutation_test(x: Floats, y: Floats) -> float:
    """The one-sided p value for the hypothesis that the two lists are unrelated.

    The statistic is the sum of Spearman's rho and of the correlation of the losses, in which losses
    far worse than the median are clipped. Losses are more informative than ranks if most configs
    are about equally good. Clipping prevents a single diverged training from dominating. Under the
    hypothesis every order of ``y`` is equally likely, however ``x`` was chosen, so the level is
    exact for any statistic (Fisher, 1935).

    >>> x = np.arange(12.0)
    >>> permutation_test(x, x**2) < 0.001 < 0.99 < permutation_test(x, -x)
    True
    """
    a = np.concatenate([_unit(_centred_ranks(x)), _unit(_clipped(x))])
    ranks, losses = _unit(_centred_ranks(y)), _unit(_clipped(y))
    rng = np.random.default_rng(0)
    orders = rng.permuted(np.tile(np.arange(len(y)), (_PERMUTATIONS, 1)), axis=1)
    by_chance = np.concatenate([ranks[orders], losses[orders]], axis=1) @ a
    observed = np.concatenate([ranks, losses]) @ a
    return float((1 + np.sum(by_chance >= observed - 1e-9)) / (1 + _PERMUTATIONS))


def _signs(x: Floats) -> Floats:
    """For every pair of losses, which one is larger; shape (..., n * n)."""
    signs = np.sign(x[..., :, None] - x[..., None, :])
    return signs.reshape(*x.shape[:-1], -1)


def _ranks(x: Floats, ties: str = "average") -> Floats:
    from scipy.stats import rankdata  # noqa: PLC0415 - slow to import

    found: Floats = rankdata(x, ties, axis=-1)
    return found


def _centred_ranks(x: Floats) -> Floats:
    centred: Floats = _ranks(x) - (x.shape[-1] + 1) / 2
    return centred


def _in_best(x: Floats, k: int) -> Floats:
    """The probability that each is among the best ``k`` if ties are broken at random."""
    first, last = _ranks(x, "min"), _ranks(x, "max")
    return np.clip((k + 1 - first) / (last + 1 - first), 0, 1)


def _clipped(x: Floats) -> Floats:
    median = float(np.median(x))
    clipped = np.minimum(x, median + 3 * (median - x.min()))
    centred: Floats = clipped - clipped.mean()
    return centred


def _unit(x: Floats) -> Floats:
    length = float(np.sqrt(x @ x))
    scaled: Floats = x / (length or 1.0)
    return scaled


def _cosine(a: Floats, b: Floats) -> Floats:
    with np.errstate(invalid="ignore"):
        found: Floats = (a * b).sum(-1) / np.sqrt((a * a).sum(-1) * (b * b).sum(-1))
    return found
