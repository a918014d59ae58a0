"""Chooses a density by the cost of the proxy, and warns if it saves too little."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np

from proxyhpo._proxy import NetworkFactory, Proxy
from proxyhpo._records.opening import Measurement
from proxyhpo._validation import check_fraction
from proxyhpo.channels.cut.refusal import advice_on_sizes
from proxyhpo.errors import ArgumentError, UnsupportedNetworkError, unknown_name

__all__ = ["WORTHWHILE", "density_for_cost", "weak_saving"]

logger = logging.getLogger("proxyhpo")

_BUILDS = 6
_LOWEST_DENSITY = 1 / 64
_CLOSE = 0.05  # tolerance of the log cost; measured times are no more precise
WORTHWHILE = 1.3
"""How many times faster a proxy must be to be worthwhile."""


def density_for_cost(
    factory: NetworkFactory,
    config: Mapping[str, Any],
    cost: float,
    *,
    seed: np.random.SeedSequence,
    by: Literal["time", "flops"] = "time",
) -> Proxy:
    """The proxy whose cost is nearest to a fraction of the full network's.

    It tries a few densities, each by linear interpolation between known costs, on log scales. A
    warning is logged if the resulting proxy is less than 1.3 times faster.

    Args:
        factory: makes and measures the networks.
        config: see :meth:`NetworkFactory.network`.
        cost: the target fraction, in (0, 1].
        seed: see :meth:`NetworkFactory.network`.
        by: whether the cost is the measured step time or the FLOPs of a forward pass.

    Raises:
        ArgumentError: names the argument; also if FLOPs cannot be counted.
        UnsupportedNetworkError: if the network cannot be pruned.
    """
    check_fraction("cost", cost)
    if by not in ("time", "flops"):
        raise unknown_name("kind of cost", by, ["time", "flops"])
    base = factory.measured(config, density=1.0, seed=seed)
    if cost == 1:
        return base
    full_cost = _cost(base, by)

    def measured(density: float) -> tuple[float, Proxy]:
        proxy = factory.measured(config, density=density, seed=seed)
        return math.log(_cost(proxy, by) / full_cost), proxy

    best = _nearest(measured, math.log(cost))
    if weakness := weak_saving(best, base):
        logger.warning("cost %g: %s", cost, weakness)
    return best


def weak_saving(proxy: Proxy | Measurement, base: Proxy | Measurement) -> str | None:
    """A sentence on why a proxy saves hardly any time; None if it saves enough."""
    saving = base.step_seconds / proxy.step_seconds
    if saving >= WORTHWHILE:
        return None
    text = f"a step of the proxy of density {proxy.density:.3g} {_comparison(saving)}: "
    if proxy.flops is None or base.flops is None:
        return text + "its FLOPs could not be counted, so the reason is unknown"
    work = proxy.flops / base.flops
    if work > 0.999:
        return text + "its weights are masked, which saves no time on dense hardware"
    if work < 1 / WORTHWHILE:
        return text + (
            f"its FLOPs are {work:.0%}, but at this size most time is not spent on arithmetic; "
            "a larger batch or a larger network saves more"
        )
    text += f"its FLOPs are {work:.0%}"
    if not proxy.skipped:
        return text
    names = ", ".join(name for name, _ in proxy.skipped[:5])
    advice = advice_on_sizes(proxy.skipped)
    return f"{text}; not pruned: {names}" + (f". {advice}" if advice else "")


def _comparison(saving: float) -> str:
    """How a step of the proxy compares with one of the full network, in words."""
    if saving > 1.05:
        return f"is only {saving:.2f}x faster"
    if saving > 0.95:
        return "is not faster than one of the full network"
    return f"takes {1 / saving:.3g} times as long as one of the full network"


def _nearest(measured: Callable[[float], tuple[float, Proxy]], aim: float) -> Proxy:
    """The proxy nearest to ``aim``, a log cost. ``measured`` gives the cost of a density."""
    tried: list[tuple[float, Proxy]] = []
    refusal: UnsupportedNetworkError | None = None
    # Points (log density, log cost). The lower one is a guess: FLOPs ~ density squared.
    low, high = (math.log(_LOWEST_DENSITY), 2 * math.log(_LOWEST_DENSITY)), (0.0, 0.0)
    for _ in range(_BUILDS):
        at = _between(low, high, aim)
        try:
            cost, proxy = measured(math.exp(at))
        except UnsupportedNetworkError as error:  # not smaller, so try a lower density
            refusal, high = error, (at, 0.0)
            continue
        tried.append((abs(cost - aim), proxy))
        if abs(cost - aim) < _CLOSE:
            break
        low, high = (low, (at, cost)) if cost > aim else ((at, cost), high)
    if not tried:
        assert refusal is not None, "each attempt gives a proxy or a refusal"
        raise refusal
    return min(tried, key=lambda attempt: attempt[0])[1]


def _between(low: tuple[float, float], high: tuple[float, float], aim: float) -> float:
    """Where the line between two points reaches ``aim``, excluding both ends."""
    share = (aim - low[1]) / max(high[1] - low[1], 1e-9)
    return low[0] + min(max(share, 0.1), 0.9) * (high[0] - low[0])


def _cost(proxy: Proxy, by: Literal["time", "flops"]) -> float:
    if by == "time":
        return proxy.step_seconds
    if proxy.flops is None:
        raise ArgumentError(
            f"by='flops': FLOPs cannot be counted, {proxy.uncounted}; use by='time' instead"
        )
    return proxy.flops
