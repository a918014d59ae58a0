"""Builds, prunes and measures proxies: smaller networks that stand in for the full one.

Every training starts from a fresh network. It is built and pruned, and its weights are rescaled to
the scale of the user's initialisation, or inherited if they are pretrained. At density 1 the
network is what ``build`` returns; there is no separate code for the full network.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from proxyhpo._inputs import Inputs
from proxyhpo._networks.building import Build
from proxyhpo._networks.counting import Forward, forward
from proxyhpo._networks.fans import fan_ratios, masked_away, parameter_count, width_ratio
from proxyhpo._networks.running import step_seconds
from proxyhpo._proxy.acceptance import check_outputs, check_runs, check_smaller
from proxyhpo._proxy.full import FullNetworks
from proxyhpo._proxy.guard import Guard
from proxyhpo._proxy.proxy import Made, Proxy
from proxyhpo._proxy.pruning import check_constructor, prune
from proxyhpo._validation import check_device, check_fraction
from proxyhpo.channels.find.skeleton import unwrap
from proxyhpo.errors import ArgumentError
from proxyhpo.pruners import Pruned, Pruner

__all__ = ["NetworkFactory"]


class NetworkFactory(FullNetworks):
    """Makes the network for a training, of any density, and measures its cost.

    Args:
        build: makes a new full network at each call. It takes nothing, or the config (in terms of
            the full network), and optionally ``width``. Or a network, which is copied at each call
            and needs ``pretrained=``.
        pruner: makes it smaller.
        example_inputs: a typical batch.
        pretrained: True if all weights are pretrained (they are then inherited unchanged), False if
            none is (all are rescaled). None detects them by building twice: weights that are equal
            under different seeds are pretrained.
        device: of this machine, where step times are measured.

    Raises:
        ArgumentError: names the invalid argument.
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
        super().__init__(
            build, example_inputs, pretrained=pretrained, pass_width=pruner.needs_constructor
        )
        check_constructor(pruner, self._builder)
        self._pruner = pruner
        self._checked: set[tuple[bytes, float]] = set()
        self._counted: dict[str, Forward] = {}
        self._width_ratios: dict[tuple[bytes, float], float] = {}
        self._guard = Guard()
        self._device = check_device("device", device)

    def network(
        self, config: Mapping[str, Any], *, density: float, seed: np.random.SeedSequence
    ) -> nn.Module:
        """A fresh network for one training; equal arguments give equal networks.

        Args:
            config: in terms of the full network, with objects instead of labels.
            density: in (0, 1]; 1 is what ``build`` returns.
            seed: the only source of randomness. The caller's random states are restored.

        Raises:
            ArgumentError: for a density outside its range, or if ``build`` does not make a new
                network at each call.
            UnsupportedNetworkError: if it cannot be pruned, with the reason; if it did not become
                smaller (in FLOPs, or for masks in nonzero weights); or if its outputs have other
                shapes.
        """
        return self.make(config, density=density, seed=seed).network

    def make(
        self, config: Mapping[str, Any], *, density: float, seed: np.random.SeedSequence
    ) -> Made:
        """The same network, and how narrow it is.

        Raises:
            ArgumentError: see :meth:`network`.
            UnsupportedNetworkError: see :meth:`network`.
        """
        full = self._full(config, density, seed)
        if density == 1:
            return Made(full)
        # The architecture may depend on the config, so each structure has to be checked once.
        is_new = (self._key(full), density) not in self._checked
        if is_new:
            check_runs(unwrap(full), self._inputs)
        pruned = self._pruned(full, config, density, seed)
        if is_new:
            self._check(pruned, full, config, density)
        fans = fan_ratios(pruned.network, unwrap(full), pruned.contracted)
        ratio = self._width_ratio(full, pruned, density)
        return Made(pruned.network, fans, ratio, self._normalises(full))

    @property
    def plans(self) -> Mapping[str, Any]:
        """What the pruner knows of each structure; pickled with this factory, and so with the work.

        A worker that gets a plan only scores and slices.
        """
        return self._pruner.plans

    def plan(
        self, config: Mapping[str, Any], *, density: float, seed: np.random.SeedSequence
    ) -> None:
        """Adds the plan of how to prune this config's network to :attr:`plans`.

        Raises:
            ArgumentError: see :meth:`network`.
            UnsupportedNetworkError: see :meth:`network`.
        """
        if density < 1:
            self.network(config, density=density, seed=seed)

    def measured(
        self, config: Mapping[str, Any], *, density: float, seed: np.random.SeedSequence
    ) -> Proxy:
        """The same network, and its cost.

        Raises:
            ArgumentError: see :meth:`network`.
            UnsupportedNetworkError: see :meth:`network`.
        """
        full = self._full(config, density, seed)
        check_runs(unwrap(full), self._inputs)
        unreached = sorted(self._reached(full).unreached)
        if density == 1:
            measured = self._measure(Pruned(full), self._forward(full, config))
            return replace(measured, unreached=unreached)
        pruned = self._pruned(full, config, density, seed)
        full = unwrap(full)
        after = self._check(pruned, full, config, density)
        parameters = parameter_count(pruned.network, masked_away(pruned.network, full))
        ratio = width_ratio(pruned.network, full, pruned.contracted, unreached)
        del full  # free its memory before the proxy is timed
        return replace(
            self._measure(pruned, after),
            density=density,
            parameters=parameters,
            width_ratio=ratio,
            unreached=unreached,
        )

    def width_ratio(
        self, config: Mapping[str, Any], *, density: float, seed: np.random.SeedSequence
    ) -> float | None:
        """The width ratio of this config's proxy, or None if all configs have the same network.

        Each structure is pruned once. After that only the full network is built.

        Raises:
            ArgumentError: see :meth:`network`.
            UnsupportedNetworkError: see :meth:`network`.
        """
        if not self._builder.takes_config:
            return None
        full = self._full(config, density, seed)
        key = (self._key(full), density)
        if key not in self._width_ratios:
            check_runs(unwrap(full), self._inputs)
            return self._width_ratio(full, self._pruned(full, config, density, seed), density)
        return self._width_ratios[key]

    def _width_ratio(self, full: nn.Module, pruned: Pruned, density: float) -> float:
        """The width ratio of a proxy, computed once for each structure."""
        key = (self._key(full), density)
        if key not in self._width_ratios:
            self._width_ratios[key] = width_ratio(
                pruned.network, unwrap(full), pruned.contracted, self._reached(full).unreached
            )
        return self._width_ratios[key]

    def _full(
        self, config: Mapping[str, Any], density: float, seed: np.random.SeedSequence
    ) -> nn.Module:
        check_fraction("density", density)
        full = self._builder.seeded(config, _numbers(seed)[0])
        self._guard.compare((self._key(full), 1.0), full, None)
        return full

    def _pruned(
        self,
        full: nn.Module,
        config: Mapping[str, Any],
        density: float,
        seed: np.random.SeedSequence,
    ) -> Pruned:
        _, *seeds = _numbers(seed)
        pruned = prune(
            self._pruner,
            self._builder,
            full,
            config=config,
            inputs=self._inputs,
            density=density,
            seeds=(seeds[0], seeds[1]),
        )
        self._guard.compare((self._key(full), density), pruned.network, pruned.contracted)
        return pruned

    def _check(
        self, pruned: Pruned, full: nn.Module, config: Mapping[str, Any], density: float
    ) -> Forward:
        """Checks that a proxy can replace the full network; returns its forward pass."""
        before, after = self._forward(full, config), forward(pruned.network, self._inputs)
        check_outputs(before, after, pruned.narrower)
        check_smaller(pruned, unwrap(full), density, before, after)
        self._checked.add((self._key(full), density))
        return after

    def _forward(self, full: nn.Module, config: Mapping[str, Any]) -> Forward:
        """The forward pass of a config's full network; counted once for each config.

        The names and shapes of the parameters do not determine it: a stride, for example, changes
        none of them. A config that contains objects is counted every time, because objects cannot
        be compared.
        """
        used = config if self.takes_config else {}
        if not all(isinstance(value, str | int | float | None) for value in used.values()):
            return forward(unwrap(full), self._inputs)
        key = repr(sorted(used.items()))
        if key not in self._counted:
            self._counted[key] = forward(unwrap(full), self._inputs)
        return self._counted[key]

    def _measure(self, pruned: Pruned, cost: Forward) -> Proxy:
        return Proxy(
            network=pruned.network,
            density=1.0,
            parameters=parameter_count(pruned.network),
            flops=cost.flops,
            step_seconds=step_seconds(pruned.network, self._inputs, device=self._device),
            width_ratio=1.0,
            skipped=tuple(pruned.skipped),
            narrower=tuple(pruned.narrower.values()),
            uncounted=cost.reason,
            contracted=pruned.contracted,
        )


def _numbers(seed: np.random.SeedSequence) -> list[int]:
    """Seeds for building, for the pruner's generator, and for code that runs while it prunes."""
    return [int(word) >> 1 for word in seed.generate_state(3, np.uint64)]
