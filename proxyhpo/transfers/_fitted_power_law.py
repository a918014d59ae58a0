"""The transfer that learns from a few trainings how the learning rate follows the width."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, final

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from proxyhpo._records.history import History
from proxyhpo._records.records import Config, Probe, Record, config_key
from proxyhpo._records.rung import Rung
from proxyhpo._validation import check_number, check_whole
from proxyhpo.errors import ArgumentError
from proxyhpo.space._unseen import Unseen
from proxyhpo.transfers._interface import Transfer, check_exponents
from proxyhpo.transfers._settings import exponents_by_name, learning_rates, why_none

if TYPE_CHECKING:
    from proxyhpo.space import Space

__all__ = ["Fit", "FittedPowerLawTransfer"]

Array = npt.NDArray[np.float64]

_FARTHEST = 2.5
"""By how much the logarithm of the best learning rate may move between the two widths, beside what
an exponent of -0.5 says: a tenfold change and more, so that what cannot be known looks unknown."""

_STEPS = 81
"""How many exponents are tried."""

_FEWEST = 4
"""Configs below which a bootstrap says nothing."""

_RESAMPLES = 200

_SMALLEST_DEVIATION = 0.05
"""A bootstrap of few configs may agree with itself by chance."""

_WILD = 4.0
"""A loss counts as worse than the median by no more than so often the best one is better."""

_HOPELESS = 0.75
"""A config is left out if even its best probe is among the worst quarter: far from the least loss
nothing is a parabola any more, and a plateau of diverged trainings has no slope."""


@dataclass(frozen=True)
class Fit:
    """What probes say of the exponent.

    Args:
        exponent: the mean of prior and estimate, each weighted by its precision.
        estimate: by the probes alone; None if there are too few.
        deviation: the standard deviation of the estimate.
        low: the lower end of its 95 % interval.
        high: the upper end.
        n: how many configs it rests on; those that did badly whatever the learning rate do not
            count.
    """

    exponent: float
    estimate: float | None = None
    deviation: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0


@final
class FittedPowerLawTransfer(Transfer):
    """Multiplies learning rates by a power of the width ratio, and learns the power.

    A few configs are trained at the two cheapest rungs of different width, with learning rates
    that are deliberately too small and too large for it. Where the loss is least shows how the best
    learning rate moves with the width: a parabola in ``log(lr) - exponent * log(width ratio)``,
    with an offset for each config and each rung, is fitted by least squares for each exponent of a
    grid; a bootstrap over the configs gives its spread (with ten of them too narrow a one: in
    measurements its 95 % interval held the truth in 32 to 85 %). The answer is the mean of this
    estimate and a prior, weighted by their precisions, so that the prior is kept where the probes
    cannot tell. (That narrow networks want larger learning rates, and by which powers in theory:
    Yang et al., "Tensor Programs V", arXiv:2203.03466.)

    The probes are paid for before the first trial, however few trials there are: with the default
    settings 40 trainings of proxies; with a ladder of one proxy and the full network, 20 of the
    proxy and 10 of the full network. It is worth it where many trials will climb a ladder with two
    proxies, or where the same network is tuned again and again; and the more the two widths differ,
    the more the probes can tell. :meth:`ProxyHPO.check` pays for probes of its own.

    All that is named as a learning rate (see
    :class:`~proxyhpo.transfers.PowerLawTransfer`) has the same exponent; where a config
    has several, their geometric mean is what the loss is fitted against. The training of a probe
    that fails counts with the worst loss of all, since it is mostly too large a learning rate that
    makes one fail.

    Args:
        exponents: hyperparameter name → its own exponent, which is not learned; beside and before
            those found by name. Each must be made of numbers in the space.
        prior: the exponent that is believed in before anything is trained.
        prior_deviation: the standard deviation of this belief.
        n_configs: how many configs are trained; less than 4 that end cannot change the prior.
        tried: the exponents with which each config is trained at a rung below density 1.

    Raises:
        TypeError: if exponents or the prior are not finite numbers.
        ArgumentError: for a number outside its range.

    >>> from proxyhpo._records.history import History
    >>> from proxyhpo.space import Float, Space
    >>> FittedPowerLawTransfer().exponents(Space({"lr": Float(1e-4, 1, log=True)}), History())
    {'lr': -0.5}
    """

    def __init__(
        self,
        exponents: Mapping[str, float] | None = None,
        *,
        prior: float = -0.5,
        prior_deviation: float = 0.25,
        n_configs: int = 10,
        tried: Sequence[float] = (0.0, -1.0),
    ) -> None:
        who = type(self).__name__
        self.by_name = exponents_by_name(who, exponents)
        self.prior = check_number(f"{who}: prior", prior)
        self.prior_deviation = check_number(f"{who}: prior_deviation", prior_deviation, above=0)
        self.n_configs = check_whole(f"{who}: n_configs", n_configs, 1)
        if isinstance(tried, str) or not isinstance(tried, Sequence) or len(set(tried)) < 2:
            raise ArgumentError(
                f"{who}: tried must be two different exponents or more, got {tried!r}"
            )
        self.tried = [check_number(f"{who}: each of tried", each) for each in tried]

    @override
    def probes(
        self, space: Space, ladder: Sequence[Rung], *, rng: np.random.Generator
    ) -> Sequence[Probe]:
        """Configs spread over the space, each at the two cheapest rungs of different width.

        At density 1 an exponent changes nothing, and each config is trained once.

        Raises:
            UnknownNameError: if an exponent names a hyperparameter that the space has not.
            ArgumentError: if there is no learning rate whose exponent could be learned, or a named
                exponent is of what is not made of numbers.
        """
        rates = self._rates(space)
        rungs = _two_widths(ladder)
        return [
            Probe(config, rung, dict.fromkeys(rates, exponent) if exponent else {})
            for config in _spread(space, self.n_configs, rng)
            for rung in rungs
            for exponent in (self.tried if ladder[rung].density != 1 else [0.0])
        ]

    @override
    def exponents(self, space: Space, history: History) -> Mapping[str, float]:
        """The learned exponent of every learning rate, and those given by name.

        Raises:
            UnknownNameError: see :meth:`probes`.
            ArgumentError: likewise.
        """
        return dict.fromkeys(self._rates(space), self.fit(space, history).exponent) | self.by_name

    @override
    def basis(self, space: Space, history: History) -> str:
        """The estimate with its interval, and the prior."""
        fit = self.fit(space, history)
        prior = f"prior {self.prior:g} ± {self.prior_deviation:g}"
        if fit.estimate is None:
            return f"{prior}; too few probes to learn from"
        interval = f"[{fit.low:.2f}, {fit.high:.2f}]"
        return f"fitted: {fit.estimate:.2f} {interval} on {fit.n} configs, {prior}"

    def fit(self, space: Space, history: History) -> Fit:
        """What the probes of a history say of the exponent; without any, the prior.

        Raises:
            UnknownNameError: see :meth:`probes`.
            ArgumentError: likewise.
        """
        runs = _informative(list(_runs(self._rates(space), history)))
        n = len({key for key, *_ in runs})
        if n < _FEWEST:
            return Fit(self.prior, n=n)
        estimate, resampled = _vertex_exponents(runs, self.prior)
        low, high = np.percentile(resampled, [2.5, 97.5])
        deviation = max(float(resampled.std()), _SMALLEST_DEVIATION)
        precisions = [self.prior_deviation**-2, deviation**-2]
        exponent = float(np.average([self.prior, estimate], weights=precisions))
        return Fit(exponent, estimate, deviation, float(low), float(high), n)

    def _rates(self, space: Space) -> list[str]:
        """The learning rates whose exponent is learned."""
        who = type(self).__name__
        check_exponents(who, self.by_name, space)
        if rates := [name for name in learning_rates(space) if name not in self.by_name]:
            return rates
        why, advice = why_none(space)
        if learning_rates(space):
            why, advice = "each has an exponent by name", "leave one out"
        raise ArgumentError(
            f'{who}: no exponent to learn: {why}; {advice}, or transfer="power-law"'
        )

    def __repr__(self) -> str:
        return (
            f"FittedPowerLawTransfer({self.by_name}, prior={self.prior}, "
            f"prior_deviation={self.prior_deviation}, n_configs={self.n_configs}, "
            f"tried={self.tried})"
        )


def _two_widths(ladder: Sequence[Rung]) -> list[int]:
    """The first rung and the next one of another width; none if all have the same."""
    widths = [(rung.density, rung.cost, rung.by) for rung in ladder]
    other = next((index for index, width in enumerate(widths) if width != widths[0]), None)
    return [] if other is None else [0, other]


def _spread(space: Space, n: int, rng: np.random.Generator) -> list[Config]:
    """Different configs, one in each of ``n`` layers of every axis (a Latin hypercube)."""
    unseen, shape = Unseen(space, History(), rng), (len(space.names), n)
    layers = rng.permuted(np.tile(np.arange(n), (shape[0], 1)), axis=1)
    points = (layers + rng.random(shape)).T / n
    configs = [unseen.take(c) for c in map(space.decode, points) if c in unseen]
    return configs + list(islice(unseen.draws(), n - len(configs)))


_Run = tuple[str, int, float, float, float]


def _runs(rates: Sequence[str], history: History) -> Iterator[_Run]:
    """(config, rung, log learning rate, log width ratio, loss) of the probes that ended."""
    records = sorted(history.probe_records.items())
    losses = [record.loss for _, record in records if record.loss is not None]
    if not losses:
        return
    median = float(np.median(losses))
    worst = min(max(losses), median + _WILD * (median - min(losses)))
    for number, record in records:
        probe = history.probes[number]
        rate = _log_rate(rates, record)
        if rate is not None and probe.width_ratio is not None:
            loss = worst if record.loss is None else min(record.loss, worst)
            width = float(np.log(probe.width_ratio))
            yield config_key(probe.config), probe.rung, rate, width, loss


def _informative(runs: Sequence[_Run]) -> list[_Run]:
    """Those of configs that did well with one learning rate at least."""
    if not runs:
        return []
    limit = np.quantile([loss for *_, loss in runs], _HOPELESS)
    good = {key for key, *_, loss in runs if loss <= limit}
    return [run for run in runs if run[0] in good]


def _log_rate(rates: Sequence[str], record: Record) -> float | None:
    """The mean logarithm of the learning rates, None where there is none above 0."""
    used = [record.trained_config[name] for name in rates if record.trained_config.get(name, 0) > 0]
    return float(np.mean(np.log(used))) if used else None


def _vertex_exponents(runs: Sequence[_Run], prior: float) -> tuple[float, Array]:
    """The exponent that fits best, and those that fit best in resamples of the configs."""
    keys, rungs, x, w, y = (np.array(column) for column in zip(*runs, strict=True))
    _, config = np.unique(keys, return_inverse=True)
    n = int(config.max()) + 1
    grid = _grid(rungs, w, prior)
    u = x - grid[:, None] * w
    u = (u - u.mean(1, keepdims=True)) / np.maximum(u.std(1, keepdims=True), 1e-12)
    offset = np.broadcast_to(rungs > rungs.min(), u.shape)
    table = np.stack([offset, u, u**2, np.broadcast_to(y, u.shape)], axis=-1)
    # Moments within each config: that takes its own offset out, and they add up over configs.
    moments = np.empty((n, len(grid), 4, 4))
    for index in range(n):
        own = table[:, config == index]
        own = own - own.mean(1, keepdims=True)
        moments[index] = own.transpose(0, 2, 1) @ own
    rng = np.random.default_rng(0)
    counts = rng.multinomial(n, np.full(n, 1 / n), size=_RESAMPLES)
    whole = _best(moments.sum(0)[None])[0]
    drawn = [
        grid[rng.choice(np.flatnonzero(row))] for row in _best(np.tensordot(counts, moments, 1))
    ]
    return float(grid[whole].mean()), np.array(drawn)


def _grid(rungs: Array, w: Array, prior: float) -> Array:
    """The exponents that are tried, around the prior: the wider, the less two widths differ."""
    upper = rungs > rungs.min()
    lever = abs(w[upper].mean() - w[~upper].mean()) if upper.any() else 0.0
    return prior + _FARTHEST / max(lever, 0.1) * np.linspace(-1, 1, _STEPS)


def _best(moments: Array) -> npt.NDArray[np.bool_]:
    """Which exponents fit best; several where the data cannot tell them apart.

    Args:
        moments: (samples, exponents, 4, 4) of offset, u, u^2 and loss.
    """
    straight, _ = _least_squares(moments, 2)
    curved, bend = _least_squares(moments, 3)
    # A parabola that opens downwards has no best learning rate: a line is all there is to see.
    residual = np.where(bend > 0, curved, straight)
    tolerance = 1e-6 * moments[:, :1, 3, 3]
    best: npt.NDArray[np.bool_] = residual <= residual.min(1, keepdims=True) + tolerance
    return best


def _least_squares(moments: Array, n: int) -> tuple[Array, Array]:
    """The residual sum of squares on the first ``n`` columns, and the last one's coefficient."""
    a, b = moments[..., :n, :n], moments[..., :n, 3]
    ridge = 1e-9 * np.trace(a, axis1=-2, axis2=-1)[..., None, None] + 1e-300
    solved = np.linalg.solve(a + ridge * np.eye(n), b[..., None])[..., 0]
    return moments[..., 3, 3] - (solved * b).sum(-1), solved[..., -1]
