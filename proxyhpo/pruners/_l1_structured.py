"""Structured pruning by the magnitude of channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor, nn

from proxyhpo._inputs import Inputs
from proxyhpo.pruners._channelwise import Channelwise
from proxyhpo.pruners._interface import Pruned, Pruner

__all__ = ["L1StructuredPruner"]


@final
class L1StructuredPruner(Pruner):
    """Keeps the channels with the largest weights, the same share of every layer.

    The score is that of Li et al. (arXiv:1608.08710), summed over everything that a channel
    takes with it.

    Args:
        ignore: names of modules or parameters to leave whole.
        round_to: what numbers of channels are rounded down to a multiple of, where layers are
            wide enough; multiples of 8 are faster.

    Raises:
        ArgumentError: for settings of another kind.
    """

    def __init__(self, *, ignore: Sequence[str] = (), round_to: int = 8) -> None:
        self._channels = Channelwise(ignore=ignore, round_to=round_to)
        self.ignore = self._channels.ignore
        self.round_to = self._channels.round_to

    def prune(
        self,
        network: nn.Module,
        example_inputs: Inputs,
        *,
        density: float,
        generator: torch.Generator,
    ) -> Pruned:
        """See :meth:`Pruner.prune`; nothing here is random."""
        del generator
        return self._channels.prune(network, example_inputs, density, _magnitude)


def _magnitude(slices: Sequence[Tensor]) -> Tensor:
    return torch.stack([torch.linalg.vector_norm(part, ord=1, dim=1) for part in slices]).sum(0)
