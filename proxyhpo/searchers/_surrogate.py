"""Surrogates for :class:`~proxyhpo.searchers.BayesianSearcher`: what they see, fitting, predicting.

The time that a Gaussian process takes grows with the cube of its observations, and fitting its
kernel takes that time again and again. So a surrogate is made of a bounded number of observations,
and the kernel is fitted to fewer.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, final

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from sklearn.base import clone
from skopt.learning import GaussianProcessRegressor, GradientBoostingQuantileRegressor
from skopt.utils import cook_estimator
from threadpoolctl import threadpool_limits

from proxyhpo.space._choice import Choice

if TYPE_CHECKING:
    from proxyhpo.space import Space

__all__ = [
    "Array",
    "Predictor",
    "conditioned",
    "features",
    "fitted",
    "informative",
    "kernel_observations",
    "repeatable",
    "standardised",
]

Array = npt.NDArray[np.float64]

_FIT_ELEMENTS = 4e6  # of gradients, by which the time of a fit is bounded
_LEAST_EVALUATIONS = 12  # of the likelihood in a fit
_TWO_STARTS = 80  # this many evaluations suffice for a second start, from a random kernel
_KERNEL_OBSERVATIONS = 100
_KERNEL_ELEMENTS = 2.5e5  # of one gradient: observations squared, times axes


def fitted(name: str, points: Array, losses: Array, *, seed: int) -> Any:
    """A surrogate of these observations.

    Args:
        name: of the surrogate, as scikit-optimize has it.
        points: shape (observations, features), in the unit cube.
        losses: of each.
        seed: of the fit.
    """
    estimator = cook_estimator(name, space=[(0.0, 1.0)] * points.shape[1], random_state=seed)
    if isinstance(estimator, GaussianProcessRegressor):
        most = int(_FIT_ELEMENTS / (points.shape[0] ** 2 * max(1, points.shape[1])))
        starts = 2 if most >= _TWO_STARTS else 1
        optimizer = partial(_minimised, evaluations=max(_LEAST_EVALUATIONS, most // starts))
        estimator.set_params(n_restarts_optimizer=starts - 1, optimizer=optimizer)
    return estimator.fit(points, losses)


def kernel_observations(axes: int) -> int:
    """How many observations a kernel with a length for each axis is fitted to, at most.

    >>> kernel_observations(8), kernel_observations(100)
    (100, 50)
    """
    return min(_KERNEL_OBSERVATIONS, round(math.sqrt(_KERNEL_ELEMENTS / max(1, axes))))


def _minimised(
    objective: Callable[[Array], tuple[float, Array]],
    start: Array,
    bounds: Array,
    *,
    evaluations: int,
) -> tuple[Array, float]:
    """An optimizer as scikit-learn calls it."""
    found = minimize(
        objective,
        start,
        method="L-BFGS-B",
        jac=True,
        bounds=bounds,
        options={"maxfun": evaluations},
    )
    return found.x, found.fun


def conditioned(fitted: Any, features: Array, losses: Array) -> Any:
    """The same surrogate for other data, without fitting the kernel of a Gaussian process again.

    The kernel must not adapt to pending configs, and fitting it takes most of the time.
    """
    estimator = clone(fitted)
    if isinstance(fitted, GaussianProcessRegressor):
        estimator.set_params(
            kernel=fitted.kernel_.k1,  # without the noise, which is passed as alpha
            alpha=fitted.alpha + fitted.noise_,
            noise=None,
            optimizer=None,
        )
    return estimator.fit(features, losses)


@final
class Predictor:
    """The interface of a surrogate that acquisition functions use."""

    def __init__(self, surrogate: Any) -> None:
        self._surrogate = surrogate

    def predict(self, features: Array, *, return_std: bool) -> tuple[Array, Array]:
        """Mean and standard deviation of the loss."""
        assert return_std
        if not isinstance(self._surrogate, GradientBoostingQuantileRegressor):
            mean, deviation = self._surrogate.predict(features, return_std=True)
            return mean, deviation
        # skopt's own deviation uses a function that NumPy 2.4 removed. Quantiles may cross.
        low, middle, high = self._surrogate.predict(features, return_quantiles=True).T
        return middle, np.maximum(high - low, 0) / 2


def informative(losses: Array, most: int) -> npt.NDArray[np.int64]:
    """Which observations to keep if that many are too many: the best, the newest and a spread.

    Args:
        losses: of the observations, the oldest first.
        most: how many to keep.

    Returns:
        Their indices, in order: a third of them have the least losses, a third are the newest, and
        the losses of the others are spread evenly from the least to the greatest.
    """
    every = np.arange(len(losses))
    if len(losses) <= most:
        return every
    by_loss = np.argsort(losses, kind="stable")
    kept = set(by_loss[: most // 3].tolist()) | set(every[-(most // 3) :].tolist())
    others = [index for index in by_loss.tolist() if index not in kept]
    spread = np.linspace(0, len(others) - 1, most - len(kept)).round().astype(int)
    kept |= {others[place] for place in spread}
    return np.array(sorted(kept))


def features(space: Space, points: Array) -> Array:
    """Points of the cube as features of a surrogate, shape (points, features)."""
    columns = []
    for name, axis in zip(space.names, points.T, strict=True):
        size = space[name].size
        if size == 1:
            continue
        if isinstance(space[name], Choice):
            options = np.eye(int(size))[np.minimum(axis * size, size - 1).astype(int)]
            columns.append(options[:, size == 2 :])  # two options need only one axis
        else:
            columns.append(axis[:, np.newaxis])
    return np.hstack(columns)


def standardised(losses: Array) -> Array:
    """The losses with mean 0 and standard deviation 1, after compressing those above the median.

    A diverged training may be worse by many orders of magnitude, which would hide the differences
    that matter. An excess over the median is compressed to at most the distance of the best loss
    from the median; the order is kept.
    """
    if not losses.size:
        return losses
    losses = np.clip(losses, -1e100, 1e100)  # so that squares are finite
    median = np.median(losses)
    scale = (median - losses.min()) or losses.std() or 1.0
    with np.errstate(over="ignore"):
        excess = (losses - median) / scale
    drawn = np.where(excess > 0, 1 - 1 / (1 + np.maximum(excess, 0)), excess)
    result: Array = (drawn - drawn.mean()) / (drawn.std() or 1.0)
    return result


@contextmanager
def repeatable() -> Iterator[None]:
    """Uses one thread, since results depend on the number, and silences the libraries' warnings."""
    with threadpool_limits(1), warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield
