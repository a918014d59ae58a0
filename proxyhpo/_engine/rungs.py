"""The rungs of a study: each one is measured, and opens when its first trial arrives."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from proxyhpo._engine.parts import Parts
from proxyhpo._proxy.choosing import density_for_cost, weak_saving
from proxyhpo._records.history import History
from proxyhpo._records.opening import Measurement, Opening
from proxyhpo._records.records import Config
from proxyhpo._seeding import seed_sequence
from proxyhpo.errors import ArgumentError
from proxyhpo.transfers._exponents import check_exponents

__all__ = ["Rungs"]

logger = logging.getLogger("proxyhpo")


class Rungs:
    """Measures and opens the rungs of a study, and writes down what came of it.

    Args:
        parts: of the study.
        history: of the study, which what is written becomes a part of.
        write: writes an event, as (kind, body).
    """

    def __init__(
        self, parts: Parts, history: History, write: Callable[[str, Mapping[str, Any]], None]
    ) -> None:
        self._parts = parts
        self._history = history
        self._write = write
        self._spent: dict[int, float] = {}  # rung → seconds, before it was measured

    def ensure_measured(self, rung: int) -> Measurement:
        """Measures the network of a rung, unless that has been done, and returns what was found."""
        if rung not in self._history.measured:
            base = None if rung == self._parts.top else self.ensure_measured(self._parts.top)
            found = _measure(self._parts, rung, base)
            found = replace(found, seconds=found.seconds + self._spent.pop(rung, 0.0))
            self._write("measured", found.to_json())
        return self._history.measured[rung]

    def ensure_open(self, rung: int) -> Opening:
        """Opens a rung, unless it is open: asks the transfer for its exponents, once and for all.

        They rest on what is known by now.
        """
        if rung not in self._history.openings:
            measured = self.ensure_measured(rung)
            self._write("opening", _decide(self._parts, measured, self._history).to_json())
        return self._history.openings[rung]

    def prepare(self, spent: float) -> None:
        """Measures both ends of the ladder, and makes one proxy of every rung as trials will.

        It must be the one that was measured, see :mod:`proxyhpo._proxy.guard`.

        So what cannot be pruned fails before any training. A plan may take longer to find than a
        small network to train: it is made here, once, and travels to workers as a part of the work
        (:attr:`NetworkFactory.plans`). Plans are not stored, so a resumed study plans again.

        Args:
            spent: seconds that went into the full network before this; its measurement is charged.

        Raises:
            UnsupportedNetworkError: if no proxy can be made of the network.
            ArgumentError: if a rung's cost leads to a cheaper proxy than the rung below has.
        """
        parts = self._parts
        self._spent[parts.top] = spent
        self.ensure_measured(parts.top)
        self.ensure_measured(0)
        config = parts.networks.config_to_measure(parts.space)
        below = 0.0
        for rung, wanted in enumerate(parts.ladder):
            density = wanted.density or self.ensure_measured(rung).density
            if density < below and wanted.budget <= parts.ladder[rung - 1].budget:
                raise ArgumentError(
                    f"ladder: rung {rung} came out at density {density:.3g}, and rung {rung - 1} "
                    f"below it at {below:.3g}: it must not be cheaper"
                )
            below = density
            if density < 1:  # made as trials make it, and compared with what was measured
                began = time.perf_counter()
                seeds = seed_sequence("measuring", parts.seed, rung).spawn(1)[0]
                parts.networks.plan(config, density=density, seed=seeds)
                self._spent[rung] = time.perf_counter() - began

    def own_width_ratio(self, rung: int, config: Config) -> float:
        """That of this config's own network, where the architecture depends on it."""
        parts, measured = self._parts, self.ensure_measured(rung)
        if measured.density == 1:
            return 1.0
        seeds = seed_sequence("measuring", parts.seed, rung)
        try:
            own = parts.networks.width_ratio(
                parts.space.resolve(config), density=measured.density, seed=seeds
            )
        except Exception:  # noqa: BLE001 - the training meets the same error and becomes its record
            return measured.width_ratio
        return measured.width_ratio if own is None else own


def _measure(parts: Parts, rung: int, base: Measurement | None) -> Measurement:
    """Measures the network of a rung at the centre of the space.

    ``base`` is what was measured of the full network, to tell of a proxy that is hardly faster;
    None for the full network itself.
    """
    began = time.perf_counter()
    wanted, config = parts.ladder[rung], parts.networks.config_to_measure(parts.space)
    seeds = seed_sequence("measuring", parts.seed, rung)
    if wanted.cost is not None:
        proxy = density_for_cost(parts.networks, config, wanted.cost, seed=seeds, by=wanted.by)
    else:
        assert wanted.density is not None, "a rung has a density or a cost"
        proxy = parts.networks.measured(config, density=wanted.density, seed=seeds)
    weakness = None if proxy.density == 1 or base is None else weak_saving(proxy, base)
    if weakness and wanted.cost is None:  # for a cost, choosing has warned
        logger.warning("rung %d: %s", rung, weakness)
    return Measurement(
        rung=rung,
        density=proxy.density,
        width_ratio=proxy.width_ratio,
        parameters=proxy.parameters,
        flops=proxy.flops,
        step_seconds=proxy.step_seconds,
        seconds=time.perf_counter() - began,
        skipped=tuple(proxy.skipped),
        warning=weakness,
    )


def _decide(parts: Parts, measured: Measurement, history: History) -> Opening:
    """What the transfer gives by what is known now; nothing is transferred to the full network."""
    if measured.density == 1:
        return Opening(measured.rung, {})
    began, transfer = time.perf_counter(), parts.transfer
    exponents = check_exponents(
        type(transfer).__name__, transfer.exponents(parts.space, history), parts.space
    )
    return Opening(measured.rung, exponents, time.perf_counter() - began)
