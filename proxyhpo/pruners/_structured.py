"""Structured pruners remove whole channels. They only differ in how they score channels."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import final

import torch
from torch import Tensor, nn
from typing_extensions import override

from proxyhpo._inputs import Inputs
from proxyhpo._validation import check_names, check_whole, suggesting
from proxyhpo.channels import Plan, shrink
from proxyhpo.pruners._interface import Pruned, Pruner

__all__ = ["L1StructuredPruner", "RandomPruner", "StructuredPruner"]


class StructuredPruner(Pruner):
    """Removes the channels with the lowest scores, the same share of every layer.

    A subclass implements only :meth:`score`. Each structure of layers is traced once: the plan of
    what to remove is cached, and further networks are only scored and sliced.

    Args:
        ignore: names of modules or parameters that keep all their channels.
        round_to: numbers of channels are rounded down to a multiple of this if layers are wide
            enough; multiples of 8 are faster on most hardware.
        outputs: names of the outputs that training uses, by key, field or index (``"logits"``,
            ``"0"``), which keep their sizes. By default they are ``loss`` and ``logits``, or else
            the first output, and every output from which no other output is computed.

    Raises:
        ArgumentError: if a setting has the wrong type or is out of range.
    """

    @suggesting
    def __init__(
        self,
        *,
        ignore: Sequence[str] = (),
        round_to: int = 8,
        outputs: Sequence[str] | None = None,
    ) -> None:
        self.ignore = check_names("ignore", ignore)
        self.outputs = None if outputs is None else check_names("outputs", outputs)
        self.round_to = check_whole("round_to", round_to, 1)
        self._plans: dict[str, Plan] = {}

    @property
    @override
    def plans(self) -> Mapping[str, Plan]:
        return self._plans

    @abstractmethod
    def score(self, slices: Sequence[Tensor], *, generator: torch.Generator) -> Tensor:
        """One score for each of the ``n`` channels of a group; the highest are kept.

        Args:
            slices: for each weight that contains the channels, a float tensor of shape (n,
                elements): row ``i`` contains the weights of channel ``i``. The channels of a group
                are connected, for example by residual additions, and are kept or removed together.
            generator: on the CPU; the only source of randomness.

        Returns:
            A tensor of shape (n,) without NaN.
        """

    @final
    @override
    def prune(
        self,
        network: nn.Module,
        example_inputs: Inputs,
        *,
        density: float,
        generator: torch.Generator,
    ) -> Pruned:
        made = shrink(
            network,
            example_inputs,
            density=density,
            score=lambda slices: self.score(slices, generator=generator),
            ignore=self.ignore,
            round_to=self.round_to,
            outputs=self.outputs,
            plans=self._plans,
        )
        return Pruned(made.network, made.skipped, made.contracted, narrower=made.narrower)


@final
class L1StructuredPruner(StructuredPruner):
    """Keeps the channels with the largest weights, the same share of every layer.

    The score is the L1 norm of Li et al. (arXiv:1608.08710), summed over all weights that contain
    the channel.

    Its settings are those of :class:`StructuredPruner`.
    """

    @override
    def score(self, slices: Sequence[Tensor], *, generator: torch.Generator) -> Tensor:
        # Along a dimension, torch.linalg.vector_norm(ord=1) takes two to four times as long.
        return torch.stack([part.abs().sum(dim=1) for part in slices]).sum(0)


@final
class RandomPruner(StructuredPruner):
    """Keeps as many channels as ``l1-structured``, chosen at random: the control.

    At initialisation only the number of channels in each layer matters, not which ones are kept
    (Su et al., arXiv:2009.11094), so a comparison of pruners should include this one.

    Its settings are those of :class:`StructuredPruner`.
    """

    @override
    def score(self, slices: Sequence[Tensor], *, generator: torch.Generator) -> Tensor:
        return torch.rand(len(slices[0]), generator=generator)
