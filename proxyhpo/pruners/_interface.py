"""The interface of pruners."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from proxyhpo._inputs import Inputs

__all__ = ["Pruned", "Pruner"]


@dataclass(frozen=True)
class Pruned:
    """The result of a pruner.

    Args:
        network: the smaller network. Parameters keep their names, so that each can be compared with
            its original.
        skipped: what was not pruned, as (module or parameter name, reason).
        contracted: parameter name → the dimensions that its products sum over (its fan-in); empty
            for parameters that sum nothing, such as a bias. For other names the module's type
            decides.
        from_scratch: whether the weights were newly initialised at this width instead of copied
            from the given network.
        narrower: index among the network's outputs in train mode → name of an output that is
            smaller than in the given network, such as a hidden state that is returned beside the
            logits.
    """

    network: nn.Module
    skipped: Sequence[tuple[str, str]] = ()
    contracted: Mapping[str, tuple[int, ...]] | None = None
    from_scratch: bool = False
    narrower: Mapping[int, str] = field(default_factory=dict)


class Pruner(ABC):
    """Makes a smaller network out of a network.

    An implementation has settings, but no state that affects its results: equal arguments give
    equal networks. It may cache what it has computed for a structure of layers in :attr:`plans`.
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

        Called once for every training on a proxy. The engine never calls it with density 1.

        Args:
            network: the full network, freshly built, on any device. It must not be modified, and
                the result must share no storage with it.
            example_inputs: a typical batch; the first dimension of each tensor is the batch.
            density: fraction of its channels (structured) or weights (unstructured) that each
                prunable layer keeps, in (0, 1]. 1 gives an equal network.
            generator: on the CPU; the only source of randomness.

        Returns:
            The smaller network, with the same outputs (structure and shapes), the same train or
            eval mode and a gradient for every trainable parameter; and what was skipped.

        Raises:
            UnsupportedNetworkError: if this network cannot be pruned, with the reason.
        """

    @property
    def plans(self) -> Mapping[str, Any]:
        """What has been computed for each structure of layers; empty by default.

        It is picklable data that depends on names, shapes and settings, never on the values of
        weights. It is pickled with the pruner, so that workers need not trace a network again.
        """
        return {}

    @property
    def needs_constructor(self) -> bool:
        """Whether narrow networks come from the user's ``build(width)``, which is not set yet."""
        return False

    def with_constructor(self, build: Callable[[float], nn.Module]) -> Pruner:
        """The same pruner for networks made by ``build``; called if :attr:`needs_constructor`.

        Args:
            build: makes a new network at a width in (0, 1].
        """
        del build
        return self
