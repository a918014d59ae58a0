"""The proxy, a smaller network that stands in for the full one: built, pruned, measured.

Every training run starts from a fresh network: it is built, pruned, and its weights are rescaled
to the scale that the user's initialisation gave them, or inherited where they are pretrained. At
density 1 it is what ``build`` returns, and nothing else: there is no second way for the full
network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from proxyhpo._inputs import Inputs, at_least_two, check_inputs
from proxyhpo._networks.building import Build, Builder, structure
from proxyhpo._networks.fans import FanRatios, fan_ratios, masked_away, width_ratio
from proxyhpo._networks.initialisation import rescale
from proxyhpo._networks.measuring import Forward, forward, parameter_count, step_seconds
from proxyhpo._proxy.acceptance import check_outputs, check_runs, check_smaller
from proxyhpo._seeding import preserved_random_state, seed_everything
from proxyhpo._validation import check_device, check_fraction
from proxyhpo.channels import unwrap
from proxyhpo.errors import ArgumentError
from proxyhpo.pruners import Pruned, Pruner

__all__ = ["NetworkFactory", "Proxy"]


@dataclass(frozen=True)
class Proxy:
    """A smaller network that stands in for the full one, and what it costs.

    Args:
        network: on the device on which ``build`` made it, in train mode.
        density: fraction of its channels (or weights) that each prunable layer was to keep.
        parameters: the number of its weights, less those that masks hold at zero.
        flops: of one forward of the example batch; None if they could not be counted.
        step_seconds: of one forward and backward of the example batch, measured.
        width_ratio: mean kept fraction of fan-in over its weight matrices, weighted by their size
            in the full network; 1 for the full network.
        skipped: what was left whole, as (name, reason).
        uncounted: why the FLOPs could not be counted.
    """

    network: nn.Module
    density: float
    parameters: int
    flops: int | None
    step_seconds: float
    width_ratio: float
    skipped: Sequence[tuple[str, str]] = ()
    uncounted: str | None = None


class NetworkFactory:
    """Makes the network for a training run, of any density, and measures what one costs.

    Args:
        build: makes a new full network at each call. It takes nothing, or the config (in terms of
            the full network), or also ``width``. Or a network, which is copied at each call and
            needs ``pretrained=``.
        pruner: makes it smaller.
        example_inputs: a typical batch.
        pretrained: True if all weights are pretrained (they are then inherited as they are), False
            if none is (all are rescaled). None tells them apart by building twice: those that
            come out equal under different seeds are pretrained.
        device: where step times are measured; one of this machine's.

    Raises:
        ArgumentError: naming the argument.
    """

    def __init__(
        self,
        build: Build,
        pruner: Pruner,
        example_inputs: Inputs,
        *,
        pretrained: bool | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        if not isinstance(pruner, Pruner):
            raise ArgumentError(f"pruner must be a Pruner, got {pruner!r}")
        self._builder = Builder(build, pretrained=pretrained)
        if pruner.needs_constructor and not self._builder.takes_width:
            raise ArgumentError(
                f"pruner {type(pruner).__name__} asks the network's own constructor for a narrow "
                "one: build must take `width`, a fraction in (0, 1]"
            )
        self._pruner = pruner
        self._inputs = at_least_two(check_inputs(example_inputs))
        self._checked: set[tuple[bytes, float]] = set()
        self._width_ratios: dict[tuple[bytes, float], float] = {}
        self._device = check_device("device", device)

    def network(
        self, config: Mapping[str, Any], *, density: float, seed: np.random.SeedSequence
    ) -> nn.Module:
        """A fresh network for one training run; equal arguments give equal networks.

        Args:
            config: with objects in the place of their labels; in terms of the full network.
            density: in (0, 1]; 1 is what ``build`` returns.
            seed: the only source of randomness. The caller's random states are put back.

        Raises:
            ArgumentError: for a density outside its range, or if ``build`` does not make a new
                network at each call.
            UnsupportedNetworkError: if it cannot be pruned, saying why; if it did not become
                smaller, in FLOPs or, where weights are masked, in weights that are not zero; or if
                its outputs have other shapes.
        """
        return self.network_and_fans(config, density=density, seed=seed)[0]

    def network_and_fans(
        self, config: Mapping[str, Any], *, density: float, seed: np.random.SeedSequence
    ) -> tuple[nn.Module, dict[str, FanRatios]]:
        """The same network, and what each parameter has kept of its fans; nothing for the full one.

        Raises:
            ArgumentError: see :meth:`network`.
            UnsupportedNetworkError: likewise.
        """
        full = self._full(config, density, seed)
        if density == 1:
            return full, {}
        # The architecture may depend on the config, so that each has to be checked, once.
        is_new = (structure(full), density) not in self._checked
        if is_new:
            check_runs(unwrap(full), self._inputs)
        pruned = self._pruned(full, config, density, seed)
        if is_new:
            self._check(pruned, full, density)
        return pruned.network, fan_ratios(pruned.network, unwrap(full), pruned.contracted)

    def measured(
        self, config: Mapping[str, Any], *, density: float, seed: np.random.SeedSequence
    ) -> Proxy:
        """The same network, and what it costs.

        Raises:
            ArgumentError: see :meth:`network`.
            UnsupportedNetworkError: likewise.
        """
        full = self._full(config, density, seed)
        check_runs(unwrap(full), self._inputs)
        if density == 1:
            return self._measure(Pruned(full), forward(unwrap(full), self._inputs))
        pruned = self._pruned(full, config, density, seed)
        full = unwrap(full)
        after = self._check(pruned, full, density)
        parameters = parameter_count(pruned.network, masked_away(pruned.network, full))
        ratio = width_ratio(pruned.network, full, pruned.contracted)
        del full  # its memory, before the proxy takes some for the steps
        measured = self._measure(pruned, after)
        return replace(measured, density=density, parameters=parameters, width_ratio=ratio)

    def width_ratio(
        self, config: Mapping[str, Any], *, density: float, seed: np.random.SeedSequence
    ) -> float | None:
        """That of this config's own proxy, or None if all configs have the same network.

        Pruned once for each structure; after that only the full network is built.

        Raises:
            ArgumentError: see :meth:`network`.
            UnsupportedNetworkError: likewise.
        """
        if not self._builder.takes_config:
            return None
        full = self._full(config, density, seed)
        key = (structure(full), density)
        if key not in self._width_ratios:
            check_runs(unwrap(full), self._inputs)
            pruned = self._pruned(full, config, density, seed)
            self._width_ratios[key] = width_ratio(pruned.network, unwrap(full), pruned.contracted)
        return self._width_ratios[key]

    def pretrained_parameters(self, config: Mapping[str, Any]) -> frozenset[str]:
        """The names of the parameters that are pretrained, and so inherited as they are.

        Builds twice; once in all for a ``build`` that does not take the config.

        Raises:
            ArgumentError: if ``build`` seeds torch itself or returns the same network twice.
        """
        return self._builder.pretrained(config)

    def shapes(self, config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
        """Parameter name → shape, in the full network.

        Raises:
            ArgumentError: if ``build`` returns the same network twice.
        """
        return self._builder.shapes(config)

    def is_perceptron(self, config: Mapping[str, Any]) -> bool:
        """Whether nothing in the full network but linear layers and batch norms has weights."""
        return self._builder.is_perceptron(config)

    def layer_widths(self, config: Mapping[str, Any]) -> Sequence[int]:
        """How many outputs each layer of the full network has, in order of registration.

        Raises:
            ArgumentError: if ``build`` returns the same network twice.
        """
        return self._builder.layer_widths(config)

    def _full(
        self, config: Mapping[str, Any], density: float, seed: np.random.SeedSequence
    ) -> nn.Module:
        check_fraction("density", density)
        return self._builder.seeded(config, _numbers(seed)[0])

    def _pruned(
        self,
        full: nn.Module,
        config: Mapping[str, Any],
        density: float,
        seed: np.random.SeedSequence,
    ) -> Pruned:
        pruner = self._pruner
        if pruner.needs_constructor:
            pruner = pruner.with_constructor(partial(_at_width, self._builder, config))
        generator = torch.Generator().manual_seed(_numbers(seed)[1])
        with preserved_random_state():
            seed_everything(_numbers(seed)[2])  # for a forward with dropout, or a careless plug-in
            try:
                pruned = pruner.prune(full, self._inputs, density=density, generator=generator)
            except ArgumentError as error:  # of its settings, or of the score that it brings
                raise type(error)(f"{type(pruner).__name__}: {error}") from error
        _check_pruned(pruner, pruned)
        if not pruned.from_scratch:
            rescale(
                pruned.network,
                unwrap(full),
                inherited=self._builder.pretrained(config, full),
                contracted=pruned.contracted,
            )
        return pruned

    def _check(self, pruned: Pruned, full: nn.Module, density: float) -> Forward:
        """Refuses a proxy that cannot stand in for the full network; returns its forward."""
        full = unwrap(full)
        before, after = forward(full, self._inputs), forward(pruned.network, self._inputs)
        check_outputs(before, after)
        check_smaller(pruned, full, density, before, after)
        self._checked.add((structure(full), density))
        return after

    def _measure(self, pruned: Pruned, cost: Forward) -> Proxy:
        return Proxy(
            network=pruned.network,
            density=1.0,
            parameters=parameter_count(pruned.network),
            flops=cost.flops,
            step_seconds=step_seconds(pruned.network, self._inputs, device=self._device),
            width_ratio=1.0,
            skipped=tuple(pruned.skipped),
            uncounted=cost.reason,
        )


def _check_pruned(pruner: Pruner, pruned: object) -> None:
    network = getattr(pruned, "network", None)
    if not isinstance(pruned, Pruned) or not isinstance(network, nn.Module):
        raise TypeError(
            f"{type(pruner).__name__}.prune must return a proxyhpo.pruners.Pruned with a network, "
            f"it returned a {type(pruned).__name__}"
        )


def _at_width(builder: Builder, config: Mapping[str, Any], width: float) -> nn.Module:
    return builder.build(config, width=width)


def _numbers(seed: np.random.SeedSequence) -> list[int]:
    """Seeds for building, for the pruner's generator, and for what runs while it prunes."""
    return [int(word) >> 1 for word in seed.generate_state(3, np.uint64)]
