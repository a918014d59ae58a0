"""What all pruners that remove channels share: they differ in the score of a channel alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

from torch import nn

from proxyhpo._inputs import Inputs
from proxyhpo.channels import Planner, Score, check_settings
from proxyhpo.pruners._interface import Pruned

__all__ = ["Channelwise"]


@final
class Channelwise:
    """Removes channels by a score, and remembers how: a structure is traced once.

    A pruner has one, rather than being one::

        class MyPruner(Pruner):
            def __init__(self):
                self._channels = Channelwise()

            def prune(self, network, example_inputs, *, density, generator):
                return self._channels.prune(network, example_inputs, density, my_score)

    Args:
        ignore: names of modules or parameters to leave whole.
        round_to: what numbers of channels are rounded down to a multiple of, where layers are
            wide enough; multiples of 8 are faster.

    Raises:
        ArgumentError: for settings of another kind.
    """

    def __init__(self, *, ignore: Sequence[str] = (), round_to: int = 8) -> None:
        check_settings(ignore, round_to)
        self.ignore = tuple(ignore)
        self.round_to = int(round_to)
        self._planner = Planner()

    def prune(
        self, network: nn.Module, example_inputs: Inputs, density: float, score: Score
    ) -> Pruned:
        """See :meth:`Pruner.prune`.

        Args:
            network: the full network.
            example_inputs: a typical batch.
            density: the share of its channels that each layer keeps.
            score: gets the slices of a group of channels that live and die together, float
                tensors of shape (n, elements), and gives a tensor of n scores: the highest stay.
        """
        made = self._planner.shrink(
            network,
            example_inputs,
            density=density,
            score=score,
            ignore=self.ignore,
            round_to=self.round_to,
        )
        return Pruned(made.network, made.skipped, made.contracted)
