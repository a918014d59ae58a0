"""Pruners turn a network into a smaller one that stands in for it.

One strategy a file. *Structured* pruners remove whole channels, so that the network that comes
back is really smaller and faster; they share :mod:`proxyhpo.channels` and differ in one thing,
the score of a class of channels. *Unstructured* ones mask single weights. What was achieved is
not a pruner's business: :mod:`proxyhpo._proxy` measures every pruner alike.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import nn

from proxyhpo._inputs import Inputs

__all__ = ["Pruned", "Pruner", "TakesConstructor"]


@dataclass(frozen=True)
class Pruned:
    """What a pruner hands back.

    Args:
        network: the smaller network; parameters keep their names, so that each can be compared
            with the one that it came from.
        skipped: what was left whole, as (name, reason).
        contracted: parameter name → the dimensions that its products sum over (its fan-in),
            where the pruner knows them; others are told by the type of their module.
        from_scratch: whether the weights were newly initialised at this width, rather than
            taken from the given network.
    """

    network: nn.Module
    skipped: Sequence[tuple[str, str]] = ()
    contracted: Mapping[str, tuple[int, ...]] | None = None
    from_scratch: bool = False


class Pruner(ABC):
    """Makes a smaller network out of a network.

    An implementation has settings but no state that changes its results: equal arguments give
    equal networks. It may remember the plan that tracing gave, since that depends on names,
    shapes and density alone.
    """

    @abstractmethod
    def prune(
        self,
        network: nn.Module,
        example_inputs: Inputs,
        *,
        density: float,
        generator: torch.Generator,
    ) -> Pruned:
        """A smaller copy of the network.

        Called once for every training run on a proxy, never at density 1 by the engine.

        Args:
            network: the full network, freshly built, on any device. It is left untouched, and the
                result shares no storage with it.
            example_inputs: a typical batch; the first dimension of each tensor is the batch.
            density: fraction of its channels (structured) or weights (unstructured) that each
                prunable layer keeps, in (0, 1]. 1 gives an equal network.
            generator: on the CPU; the only source of randomness.

        Returns:
            The smaller network: same outputs (structure and shapes), in the same train or eval
            mode, every trainable parameter reached by a backward; and what was skipped.

        Raises:
            UnsupportedNetworkError: if this network cannot be pruned, saying why.
        """


@runtime_checkable
class TakesConstructor(Protocol):
    """What a pruner has besides ``prune`` if the user's constructor makes its narrow networks."""

    @property
    def needs_constructor(self) -> bool:
        """Whether it has not been given one yet."""

    def with_constructor(self, build: Callable[[float], nn.Module]) -> Pruner:
        """The same pruner; ``build`` makes the network at a width in (0, 1]."""
