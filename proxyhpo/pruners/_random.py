"""Structured pruning by chance: the control."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor, nn

from proxyhpo._inputs import Inputs
from proxyhpo.pruners._channelwise import Channelwise
from proxyhpo.pruners._interface import Pruned, Pruner

__all__ = ["RandomPruner"]


@final
class RandomPruner(Pruner):
    """Keeps as many channels as ``l1-structured``, whichever.

    At initialisation only the number of channels in each layer matters, not which ones stay
    (Su et al., arXiv:2009.11094): so a comparison of proxies needs this one as its control.

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
        """See :meth:`Pruner.prune`."""

        def score(slices: Sequence[Tensor]) -> Tensor:
            return torch.rand(len(slices[0]), generator=generator)

        return self._channels.prune(network, example_inputs, density, score)
