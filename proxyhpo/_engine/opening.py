"""What is found out about a rung: its density, where it asks for a cost, and what a step takes."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from proxyhpo._engine.parts import Parts
from proxyhpo._proxy.choosing import density_for_cost, weak_saving
from proxyhpo._records.history import History
from proxyhpo._records.records import Config, Opening, Probe
from proxyhpo._seeding import seed_sequence
from proxyhpo.transfers import check_exponents, check_probes

__all__ = ["measure", "opened", "own_width_ratio", "planned_probes"]

logger = logging.getLogger("proxyhpo")


def measure(parts: Parts, rung: int, base: Opening | None) -> Opening:
    """Measures the network of a rung at the centre of the space; it has no exponents yet.

    Args:
        parts: of the study.
        rung: index in the ladder.
        base: what was measured of the full network, to tell of a proxy that is hardly faster;
            None for the full network itself.
    """
    began = time.perf_counter()
    wanted, config = parts.ladder[rung], parts.space.resolve(parts.space.center())
    seeds = seed_sequence("measuring", parts.seed, rung)
    if wanted.cost is not None:
        proxy = density_for_cost(parts.networks, config, wanted.cost, seed=seeds, by=wanted.by)
    else:
        assert wanted.density is not None, "a rung has a density or a cost"
        proxy = parts.networks.measured(config, density=wanted.density, seed=seeds)
    weakness = None if proxy.density == 1 or base is None else weak_saving(proxy, base)
    if weakness and wanted.cost is None:  # for a cost, choosing has warned
        logger.warning("rung %d: %s", rung, weakness)
    return Opening(
        rung=rung,
        density=proxy.density,
        width_ratio=proxy.width_ratio,
        parameters=proxy.parameters,
        flops=proxy.flops,
        step_seconds=proxy.step_seconds,
        exponents={},
        seconds=time.perf_counter() - began,
        skipped=tuple(proxy.skipped),
        warning=weakness,
    )


def opened(parts: Parts, measured: Opening, history: History) -> Opening:
    """The same with the exponents that the transfer gives by what is known now."""
    if measured.density == 1:
        return measured
    began, transfer = time.perf_counter(), parts.transfer
    exponents = check_exponents(
        type(transfer).__name__, transfer.exponents(parts.space, history), parts.space
    )
    basis = transfer.basis(parts.space, history)
    seconds = measured.seconds + time.perf_counter() - began
    return replace(measured, exponents=exponents, basis=basis, seconds=seconds)


def planned_probes(parts: Parts, measured: Callable[[int], Opening]) -> list[Probe]:
    """The probes that the transfer wants, with the width ratios of their networks.

    Args:
        parts: of the study.
        measured: rung → what was measured there.

    Raises:
        ArgumentError: for a probe that cannot be trained; a TypeError for what is none.
    """
    transfer, rng = parts.transfer, np.random.default_rng(seed_sequence("probes", parts.seed))
    wanted = transfer.probes(parts.space, parts.ladder, rng=rng)
    probes = check_probes(type(transfer).__name__, wanted, parts.space, parts.ladder)
    return [
        replace(probe, width_ratio=own_width_ratio(parts, probe.config, measured(probe.rung)))
        for probe in probes
    ]


def own_width_ratio(parts: Parts, config: Config, measured: Opening) -> float:
    """Of this config's own network, where the architecture depends on it."""
    if measured.density == 1:
        return 1.0
    seeds = seed_sequence("measuring", parts.seed, measured.rung)
    try:
        own = parts.networks.width_ratio(
            parts.space.resolve(config), density=measured.density, seed=seeds
        )
    except Exception:  # noqa: BLE001 - the training meets the same error and becomes its record
        return measured.width_ratio
    return measured.width_ratio if own is None else own
