"""Bayesian optimization, with scikit-optimize's surrogates and acquisition functions.

A surrogate (a Gaussian process, or an ensemble of trees) is fitted to the losses seen so far. The
next config is the one with the greatest acquisition, such as the expected improvement (Jones,
Schonlau and Welch, 1998). It works in the unit cube, where each option of a choice has its own axis
(so that no option lies between two others) and inactive hyperparameters lie at the centre.

The acquisition is maximised here and not by scikit-optimize, because only new and valid configs
count. Between whole numbers and options a surrogate always remains uncertain, and would keep
proposing what has been tried.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any, final

import numpy as np
from scipy.stats import qmc
from skopt.acquisition import gaussian_ei, gaussian_lcb, gaussian_pi
from typing_extensions import override

from proxyhpo._records.history import History
from proxyhpo._records.records import Config
from proxyhpo._validation import check_number, check_whole, suggesting
from proxyhpo.errors import unknown_name
from proxyhpo.searchers._interface import Searcher
from proxyhpo.searchers._surrogate import (
    Array,
    Predictor,
    conditioned,
    features,
    fitted,
    informative,
    kernel_observations,
    repeatable,
    standardised,
)
from proxyhpo.space._unseen import Unseen

if TYPE_CHECKING:
    from proxyhpo.space import Space

__all__ = ["BayesianSearcher"]

_SURROGATES = ("ET", "GBRT", "GP", "RF")
_ACQUISITIONS = ("EI", "LCB", "PI")
_DESIGN_DRAWS = 32  # candidates for an initial config, of which the most even is used
_LISTED = 2000  # a space of at most this many configs is searched exhaustively
_DRAWS = 1000  # initial configs of the search for the greatest acquisition
_SCALES = (0.1, 0.03, 0.01, 0.003, 0.001)  # step lengths, one per round
_STARTS = 5  # how many of the best configs each round continues from ...
_STEPS = 20  # ... with this many steps each
_OBSERVATIONS = 300  # of a surrogate, at most
_REFITS = 20  # the kernel is fitted again when the number of trials has grown by one part in 20
_KEPT = 50  # how many of the best a round passes on; more than are likely to have been tried


@final
class BayesianSearcher(Searcher):
    """Bayesian optimization, by scikit-optimize.

    It makes good use of few trainings if up to about ten hyperparameters interact, and takes up to
    a second per config. Of more than 300 trials, the surrogate is fitted to the best, the newest
    and a spread of the others. Pending configs are treated as if their loss were average (the
    constant liar of Ginsbourger, Le Riche and Carraro, 2010), so that different configs are
    proposed.

    Args:
        surrogate: ``"GP"`` (a Gaussian process), or trees, which can fit rough losses: ``"RF"``
            (random forest), ``"ET"`` (extra trees), ``"GBRT"`` (gradient boosting).
        acquisition: ``"EI"`` (expected improvement), ``"PI"`` (its probability) or ``"LCB"`` (lower
            confidence bound).
        n_initial: how many trials must have ended before the first model is fitted. Until then the
            configs fill the space evenly.
        xi: smallest improvement that counts, for EI and PI, in standard deviations of the losses.
        kappa: weight of the uncertainty, for LCB; a greater value explores more.

    Raises:
        ArgumentError: for an unknown name, ``n_initial`` below 1, or ``xi`` or ``kappa`` below 0.
    """

    @suggesting
    def __init__(
        self,
        *,
        surrogate: str = "GP",
        acquisition: str = "EI",
        n_initial: int = 10,
        xi: float = 0.0,
        kappa: float = 1.96,
    ) -> None:
        if surrogate not in _SURROGATES:
            raise unknown_name("surrogate", surrogate, _SURROGATES)
        if acquisition not in _ACQUISITIONS:
            raise unknown_name("acquisition", acquisition, _ACQUISITIONS)
        self.surrogate = surrogate
        self.acquisition = acquisition
        self.n_initial = check_whole("n_initial", n_initial, 1)
        self.xi = check_number("xi", xi, least=0)
        self.kappa = check_number("kappa", kappa, least=0)
        self._kernel: tuple[bytes, Any] | None = None  # what it was fitted to, and the surrogate

    @override
    def propose(
        self, space: Space, history: History, n: int, *, rng: np.random.Generator
    ) -> list[Config]:
        return list(islice(self._proposals(space, history, rng), n))

    def _proposals(
        self, space: Space, history: History, rng: np.random.Generator
    ) -> Iterator[Config]:
        unseen = Unseen(space, history, rng)
        observed = history.observed()
        points = [space.encode(config) for config, _ in observed]
        points += [space.encode(config) for config in history.pending]
        losses = np.array([loss for _, loss in observed])
        model = _Model(self, space, np.array(points[: len(losses)]), losses, rng)
        while True:
            if len(losses) < self.n_initial:
                config = _most_even(space, unseen, points, rng)
            else:
                with repeatable():
                    config = model.best(unseen, points[len(losses) :])
            if config is None:
                return
            points.append(space.encode(config))
            yield unseen.take(config)

    def with_kernel(self, points: Array, losses: Array) -> Any:
        """A Gaussian process of these observations, with its kernel fitted to them.

        The last one is kept: most proposals need it again.

        Args:
            points: as features, shape (observations, features).
            losses: of each.
        """
        key = points.tobytes() + losses.tobytes()
        if self._kernel is None or self._kernel[0] != key:
            self._kernel = key, fitted("GP", points, losses, seed=0)
        return self._kernel[1]


@final
class _Model:
    """A surrogate of the losses over the unit cube, and the search for its best new config."""

    def __init__(
        self,
        settings: BayesianSearcher,
        space: Space,
        points: Array,
        losses: Array,
        rng: np.random.Generator,
    ) -> None:
        self._settings = settings
        self._space = space
        self._all = points, losses
        kept = informative(losses, _OBSERVATIONS)
        self._points = points[kept]
        self._losses = standardised(losses)[kept]
        self._rng = rng

    def best(self, unseen: Unseen, pending: list[Array]) -> Config | None:
        """The new config of greatest acquisition, or None if there is no new one."""
        if self._space.size > _LISTED:
            points = self._climb(self._with_lies(pending))
            new = (config for config in map(self._space.decode, points) if config in unseen)
            return next(new, None) or unseen.near(points[0])
        configs = list(unseen.all())
        if not configs:
            return None
        points = np.array([self._space.encode(config) for config in configs])
        return self._space.decode(self._ranked(self._with_lies(pending), points)[0])

    def _climb(self, surrogate: Any) -> Array:
        """Points by acquisition, the greatest first; found by local random search."""
        axes = len(self._space.names)
        points = self._ranked(surrogate, self._rng.random((_DRAWS, axes)))
        starts = np.vstack([points[:_STARTS], self._points[np.argsort(self._losses)[:_STARTS]]])
        for scale in _SCALES:
            steps = np.repeat(starts, _STEPS, axis=0)
            moved = self._rng.random(steps.shape) < 0.5
            steps += scale * moved * self._rng.standard_normal(steps.shape)
            points = self._ranked(surrogate, np.vstack([points[:_KEPT], steps]))
            starts = points[:_STARTS]
        return points

    def _ranked(self, surrogate: Any, points: Array) -> Array:
        """Points moved to valid configs, by acquisition, the greatest first."""
        points = _moved(self._space, np.clip(points, 0, 1))
        order = np.argsort(-self._acquisition(surrogate, points), kind="stable")
        ranked: Array = points[order]
        return ranked

    def _acquisition(self, surrogate: Any, points: Array) -> Array:
        seen, predictor = features(self._space, points), Predictor(surrogate)
        settings, least = self._settings, self._losses.min()
        values: Array
        if settings.acquisition == "LCB":
            values = -gaussian_lcb(seen, predictor, settings.kappa)
        elif settings.acquisition == "PI":
            values = gaussian_pi(seen, predictor, least, settings.xi)
        else:
            values = gaussian_ei(seen, predictor, least, settings.xi)
        return values

    @cached_property
    def _fitted(self) -> Any:
        """The surrogate, fitted to the observations."""
        seen = features(self._space, self._points)
        if self._settings.surrogate != "GP":
            seed = int(self._rng.integers(2**31))
            return fitted(self._settings.surrogate, seen, self._losses, seed=seed)
        return conditioned(self._with_kernel, seen, self._losses)

    @cached_property
    def _with_kernel(self) -> Any:
        """A Gaussian process whose kernel was fitted to some of the observations.

        They depend on the history alone, so that a resumed study has the same kernel.
        """
        points, losses = self._all
        first = len(losses) - len(losses) % max(1, len(losses) // _REFITS)
        losses = standardised(losses[:first])
        axes = features(self._space, points[:1]).shape[1]
        kept = informative(losses, kernel_observations(axes))
        return self._settings.with_kernel(features(self._space, points[kept]), losses[kept])

    def _with_lies(self, pending: list[Array]) -> Any:
        """The surrogate, with pending configs observed as average."""
        if not pending:
            return self._fitted
        points = np.vstack([self._points, *pending])
        losses = np.append(self._losses, np.zeros(len(pending)))
        base = self._with_kernel if self._settings.surrogate == "GP" else self._fitted
        return conditioned(base, features(self._space, points), losses)


def _most_even(
    space: Space, unseen: Unseen, points: list[Array], rng: np.random.Generator
) -> Config | None:
    """Of several random new configs, the one that leaves the cube most evenly filled.

    A design that considers the existing points needs no state, and takes configs from elsewhere
    into account. Evenness is the centered L2 discrepancy (Hickernell, 1998).
    """
    drawn = [space.sample(rng) for _ in range(_DESIGN_DRAWS)]
    new = [config for config in drawn if config in unseen]
    if not new:
        return unseen.near(np.full(len(space.names), 0.5))
    return min(new, key=lambda config: qmc.discrepancy(np.array([*points, space.encode(config)])))


def _moved(space: Space, points: Array) -> Array:
    """Points moved to the positions of the configs that they decode to."""
    if any(space.parent(name) for name in space.names):
        return np.array([space.encode(space.decode(point)) for point in points])
    # Without conditions the axes are independent, which is much faster. On a continuous axis every
    # position is a config.
    moved = points.copy()
    for index, name in enumerate(space.names):
        hyperparameter = space[name]
        if hyperparameter.values is not None:
            places = map(
                hyperparameter.encode, map(hyperparameter.decode, points[:, index].tolist())
            )
            moved[:, index] = list(places)
    return moved
