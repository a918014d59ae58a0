"""Full networks: builds them, and describes what a search must know before it starts."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from proxyhpo._inputs import Inputs, at_least_two, check_inputs
from proxyhpo._networks.building import Build, Builder, structure
from proxyhpo._networks.norms import normalises
from proxyhpo._networks.origins import Origins
from proxyhpo._networks.reach import Reach, reach
from proxyhpo._proxy.acceptance import check_runs
from proxyhpo._proxy.center import first_that_runs
from proxyhpo._records.records import Config
from proxyhpo._seeding import preserved_random_state
from proxyhpo.channels.find.skeleton import unwrap
from proxyhpo.space import Space

__all__ = ["FullNetworks"]

logger = logging.getLogger("proxyhpo")

_WIDE = 64
"""Outputs of a layer at which a proxy of an eighth still ranks configs well.

This is the narrowest network that was measured. Below it the default is a quarter.
"""


class FullNetworks:
    """Makes the full network of a config, and describes its parameters.

    Args:
        build: makes a new full network at each call, see :class:`~proxyhpo._proxy.NetworkFactory`.
        example_inputs: a typical batch.
        pretrained: True, False, or None to detect it.
        pass_width: see :class:`~proxyhpo._networks.building.Builder`.

    Raises:
        ArgumentError: names the invalid argument.
    """

    def __init__(
        self,
        build: Build,
        example_inputs: Inputs,
        *,
        pretrained: bool | None = None,
        pass_width: bool = False,
    ) -> None:
        self._builder = Builder(build, pretrained=pretrained, pass_width=pass_width)
        self._inputs = at_least_two(check_inputs(example_inputs))
        self._reach: dict[bytes, Reach] = {}
        self._norms: dict[bytes, bool] = {}
        self._has_warned = False
        self._measurable: Config | None = None

    @property
    def takes_config(self) -> bool:
        """Whether the network may depend on the config."""
        return self._builder.takes_config

    def config_to_measure(self, space: Space) -> dict[str, Any]:
        """A config whose network can be built and run, with objects instead of labels.

        It is the centre of the space. If the centre gives no valid network, it is the first of a
        few random configs that does.

        Raises:
            Exception: the error of the centre, if none of them works.
        """
        if self._measurable is None:
            self._measurable = space.center()
            if self._builder.takes_config:
                self._measurable = first_that_runs(space, self._try)
        return space.resolve(self._measurable)

    def _try(self, config: Mapping[str, Any]) -> None:
        with preserved_random_state():
            check_runs(unwrap(self._builder.build(config)), self._inputs)

    def origins(self, config: Mapping[str, Any]) -> Origins:
        """Which parameters of the full network are pretrained, and whether it is as a whole.

        Builds twice for each config, or twice in total if ``build`` does not take the config.

        Raises:
            ArgumentError: if ``build`` seeds torch or returns the same network twice.
        """
        found = self._builder.origins(config)
        if found.inherited and self._builder.finds_out:
            found = self._builder.origins(config, unused=self.reach(config).unreached)
            if found.is_pretrained and not self._has_warned:
                self._has_warned = True
                logger.warning(_TAKEN_FOR_PRETRAINED, 100 * found.share)
        return found

    def pretrained_parameters(self, config: Mapping[str, Any]) -> frozenset[str]:
        """The names of the parameters of a pretrained network; empty for another network.

        Raises:
            ArgumentError: see :meth:`origins`.
        """
        found = self.origins(config)
        return found.inherited if found.is_pretrained else frozenset()

    def shapes(self, config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
        """Parameter name → shape, in the full network.

        Raises:
            ArgumentError: if ``build`` returns the same network twice.
        """
        return dict(self._builder.examined(config).shapes)

    def default_density(self, config: Mapping[str, Any]) -> float:
        """The density of a proxy, if none is given.

        It is an eighth if every layer except the heads has at least 64 outputs, or else a quarter;
        and a half for a pretrained network.

        Raises:
            ArgumentError: see :meth:`origins` and :meth:`reach`.
        """
        if self.pretrained_parameters(config):
            return 1 / 2
        return 1 / 8 if min(self.layer_widths(config), default=0) >= _WIDE else 1 / 4

    def layer_widths(self, config: Mapping[str, Any]) -> Sequence[int]:
        """Number of outputs of each layer of the full network, except heads and unused layers.

        A head produces an output of the network, in whatever order layers are registered.

        Raises:
            ArgumentError: if ``build`` returns the same network twice.
        """
        found = self.reach(config)
        left_out = {name.rpartition(".")[0] for name in found.heads | found.unreached}
        widths = self._builder.examined(config).widths
        return [width for name, width in widths.items() if name not in left_out]

    def reach(self, config: Mapping[str, Any]) -> Reach:
        """Which parameters of the full network its outputs depend on.

        Raises:
            ArgumentError: if the network fails on the example inputs.
        """
        with preserved_random_state():
            full = self._builder.build(config)
        check_runs(unwrap(full), self._inputs)
        return self._reached(full)

    def _reached(self, full: nn.Module) -> Reach:
        key = self._key(full)
        if key not in self._reach:
            self._reach[key] = reach(unwrap(full), self._inputs)
        return self._reach[key]

    def normalises(self, config: Mapping[str, Any]) -> bool:
        """Whether the full network has normalisation layers, also as functions that it calls."""
        with preserved_random_state():
            return self._normalises(self._builder.build(config))

    def _normalises(self, full: nn.Module) -> bool:
        key = self._key(full)
        if key not in self._norms:
            self._norms[key] = normalises(unwrap(full), self._inputs)
        return self._norms[key]

    def _key(self, full: nn.Module) -> bytes:
        """Distinguishes networks; empty if ``build`` always makes the same one."""
        return structure(full) if self._builder.takes_config else b""


_TAKEN_FOR_PRETRAINED = (
    "the network is considered pretrained: %.0f%% of its weights are equal in two builds "
    "under different seeds. Set pretrained=False if they come from a formula or from a generator "
    "with its own seed, or pretrained=True to confirm"
)
