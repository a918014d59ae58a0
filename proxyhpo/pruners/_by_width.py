"""Narrow networks made by the user's own constructor, for networks that cannot be pruned."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from typing_extensions import override

from proxyhpo._inputs import Inputs
from proxyhpo._seeding import preserved_random_state, seed_everything
from proxyhpo._validation import check_fraction, suggesting
from proxyhpo.channels.find.skeleton import unwrap
from proxyhpo.errors import ArgumentError, UnsupportedNetworkError
from proxyhpo.pruners._interface import Pruned, Pruner

__all__ = ["ByWidthPruner"]


class ByWidthPruner(Pruner):
    """Makes a network of ``density`` times the width with the user's constructor.

    Nothing is traced or pruned, so this works for any network whose constructor accepts a width.
    The narrow network's weights are initialised at its own width, so they need no rescaling. A
    pretrained network cannot be made narrow in this way.

    Args:
        build: makes a new network at a width in (0, 1], from torch's global random state. It may
            be omitted in a search whose own ``build`` takes ``width``: ``build(width)`` or
            ``build(config, width)``.

    Raises:
        ArgumentError: if ``build`` is not a function.
    """

    @suggesting
    def __init__(self, build: Callable[[float], nn.Module] | None = None) -> None:
        if build is not None and not callable(build):
            raise ArgumentError(f"build must be a function of the width, got {build!r}")
        self._build = build

    @property
    @override
    def needs_constructor(self) -> bool:
        return self._build is None

    @override
    def with_constructor(self, build: Callable[[float], nn.Module]) -> ByWidthPruner:
        return ByWidthPruner(build)

    @override
    def prune(
        self,
        network: nn.Module,
        example_inputs: Inputs,
        *,
        density: float,
        generator: torch.Generator,
    ) -> Pruned:
        if self._build is None:
            raise ArgumentError(
                "by-width: build must take `width`, or use pruner=ByWidthPruner(build)"
            )
        check_fraction("density", density)
        with preserved_random_state():
            seed_everything(int(torch.randint(2**62, (), generator=generator)))
            narrow = self._build(density)
        _check(narrow, unwrap(network), density)
        for name, parameter in unwrap(network).named_parameters():
            narrow.get_parameter(name).requires_grad_(parameter.requires_grad)
        if density == 1:
            narrow.load_state_dict(unwrap(network).state_dict())
        return Pruned(narrow.train(network.training), from_scratch=True)


def _check(narrow: nn.Module, full: nn.Module, density: float) -> None:
    """Checks that the narrow network can stand in for the full one."""
    before = {name: tuple(p.shape) for name, p in full.named_parameters()}
    after = {name: tuple(p.shape) for name, p in narrow.named_parameters()}
    if density == 1 and before != after:
        names = dict.fromkeys([*before, *after])
        name = next(name for name in names if before.get(name) != after.get(name))
        raise UnsupportedNetworkError(
            f"build(width=1) must return the full network, but parameter {name!r} has the shape "
            f"{after.get(name, 'none')} instead of {before.get(name, 'none')}"
        )
    if density < 1 and before == after:
        raise UnsupportedNetworkError(
            f"build(width={density:.3g}) returned {type(full).__name__} at its full width; it must "
            "use `width`"
        )
    if strange := sorted(before.keys() ^ after.keys()):
        raise UnsupportedNetworkError(
            f"build(width={density:.3g}) returned a network with other parameters: "
            f"{', '.join(strange[:5])}; only their shapes may depend on the width"
        )
