"""The way out for any network: its own constructor makes the narrow one."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from typing_extensions import override

from proxyhpo._inputs import Inputs
from proxyhpo._seeding import preserved_random_state, seed_everything
from proxyhpo.channels import unwrap
from proxyhpo.errors import ArgumentError, UnsupportedNetworkError
from proxyhpo.pruners._interface import Pruned, Pruner

__all__ = ["ByWidthPruner"]


class ByWidthPruner(Pruner):
    """Asks the user's constructor for a network of ``density`` times the width.

    Nothing is pruned and nothing can fail to be traced, but the constructor must be written for
    it. The narrow network's weights are newly initialised, at its own width, so that no rescaling
    is needed. It cannot make a narrow network out of a pretrained one.

    Args:
        build: makes a new network at a width in (0, 1], from torch's global random state. Not
            needed in a search whose own ``build`` takes ``width``: ``build(width)`` or
            ``build(config, width)``.
    """

    def __init__(self, build: Callable[[float], nn.Module] | None = None) -> None:
        if build is not None and not callable(build):
            raise ArgumentError(f"build must be a function of the width, got {build!r}")
        self._build = build

    @property
    def needs_constructor(self) -> bool:
        """Whether it has been given none."""
        return self._build is None

    def with_constructor(self, build: Callable[[float], nn.Module]) -> ByWidthPruner:
        """A pruner that uses ``build``, unless this one was given its own."""
        return self if self._build is not None else ByWidthPruner(build)

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
                "by-width: build must take `width`, or hand in ByWidthPruner(build)"
            )
        if not 0 < density <= 1:
            raise ArgumentError(f"density must be in (0, 1], got {density!r}")
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
    """Refuses what cannot stand in for the full network."""
    before = {name: tuple(p.shape) for name, p in full.named_parameters()}
    after = {name: tuple(p.shape) for name, p in narrow.named_parameters()}
    if density == 1 and before != after:
        raise UnsupportedNetworkError("build(width=1) must make the full network")
    if density < 1 and before == after:
        raise UnsupportedNetworkError(
            f"build(width={density:.3g}) made {type(full).__name__} at its full width: it must "
            "use `width`"
        )
    if strange := sorted(before.keys() ^ after.keys()):
        raise UnsupportedNetworkError(
            f"build(width={density:.3g}) made a network with other parameters: "
            f"{', '.join(strange[:5])}; only their shapes may depend on the width"
        )
