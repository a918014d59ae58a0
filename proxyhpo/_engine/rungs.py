"""Measures the rungs of a study, and opens each when its first trial arrives."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from proxyhpo._engine.parts import Parts
from proxyhpo._engine.prediction import step_ratio
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
    """Measures and opens the rungs of a study, and writes the events.

    Args:
        parts: of the study.
        history: of the study. Written events become part of it.
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
        """Returns the measurement of a rung's network; measures it if necessary."""
        if rung not in self._history.measured:
            base = None if rung == self._parts.top else self.ensure_measured(self._parts.top)
            found = _measure(self._parts, rung, base)
            found = replace(found, seconds=found.seconds + self._spent.pop(rung, 0.0))
            self._write("measured", found.to_json())
        return self._history.measured[rung]

    def step_ratio(self, doubtful: float) -> float:
        """How many times longer a step of the full network takes than one of the first proxy.

        If the ratio is so small that proxies may be given up, it is measured again. A busy machine
        makes steps slower, never faster.

        Args:
            doubtful: the share of a step above which it is measured again.
        """
        measured = self.ensure_measured(0), self.ensure_measured(self._parts.top)
        ratio = self._step_ratio()
        if ratio * doubtful < 1:
            for before in measured:
                self._measure_again(before)
            ratio = self._step_ratio()
        return ratio

    def _step_ratio(self) -> float:
        ratio = step_ratio(self._history, self._parts.ladder, self._parts.top)
        assert ratio is not None, "both have been measured"
        return ratio

    def _measure_again(self, before: Measurement) -> None:
        began, parts = time.perf_counter(), self._parts
        config = parts.networks.config_to_measure(parts.space)
        seeds = seed_sequence("measuring", parts.seed, before.rung)
        proxy = parts.networks.measured(config, density=before.density, seed=seeds)
        found = replace(
            before,
            step_seconds=min(before.step_seconds, proxy.step_seconds),
            seconds=before.seconds + time.perf_counter() - began,
        )
        self._write("measured", found.to_json())

    def ensure_open(self, rung: int) -> Opening:
        """Opens a rung, unless it is open, and returns its opening.

        The transfer gives the rung's exponents once, from the history at that time.
        """
        if rung not in self._history.openings:
            measured = self.ensure_measured(rung)
            self._write("opening", _decide(self._parts, measured, self._history).to_json())
        return self._history.openings[rung]

    def prepare(self, spent: float) -> None:
        """Measures the first and the last rung, and plans the proxies of all rungs.

        A network that cannot be pruned therefore fails before any training. A plan may take longer
        to find than a small network to train. It is made once, here, and is sent to workers as a
        part of the work (:attr:`NetworkFactory.plans`). Plans are not stored, so a resumed study
        plans again. :mod:`proxyhpo._proxy.guard` checks that it gives the measured proxy.

        Args:
            spent: seconds already spent on the full network, added to the cost of its measurement.

        Raises:
            UnsupportedNetworkError: if no proxy can be made of the network.
            ArgumentError: if the proxy found for a rung's cost is cheaper than the rung below.
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
                    f"ladder: rung {rung} resulted in density {density:.3g}, but rung {rung - 1} "
                    f"below it has {below:.3g}; a rung must not be cheaper than the one below"
                )
            below = density
            if density < 1:  # built as for a trial, and compared with the measured proxy
                began = time.perf_counter()
                seeds = seed_sequence("measuring", parts.seed, rung).spawn(1)[0]
                parts.networks.plan(config, density=density, seed=seeds)
                self._spent[rung] = time.perf_counter() - began

    def own_width_ratio(self, rung: int, config: Config) -> float:
        """The width ratio of this config's network, if the architecture depends on the config."""
        parts, measured = self._parts, self.ensure_measured(rung)
        if measured.density == 1:
            return 1.0
        seeds = seed_sequence("measuring", parts.seed, rung)
        try:
            own = parts.networks.width_ratio(
                parts.space.resolve(config), density=measured.density, seed=seeds
            )
        except Exception:  # noqa: BLE001 - the training raises it too, and it is recorded there
            return measured.width_ratio
        return measured.width_ratio if own is None else own


def _measure(parts: Parts, rung: int, base: Measurement | None) -> Measurement:
    """Measures the network of a rung at the centre of the space.

    ``base`` is the measurement of the full network, for the warning about a proxy that is hardly
    faster. It is None when the full network itself is measured.
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
    if weakness and wanted.cost is None:  # the search for a cost has warned
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
    """Asks the transfer for its exponents; there are none for the full network."""
    if measured.density == 1:
        return Opening(measured.rung, {})
    began, transfer = time.perf_counter(), parts.transfer
    exponents = check_exponents(
        type(transfer).__name__, transfer.exponents(parts.space, history), parts.space
    )
    return Opening(measured.rung, exponents, time.perf_counter() - began)
