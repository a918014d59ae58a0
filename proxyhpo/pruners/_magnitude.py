"""Unstructured pruning by magnitude: masks single weights; tensors keep their sizes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn
from typing_extensions import override

from proxyhpo._inputs import Inputs
from proxyhpo._networks.fans import fans_of
from proxyhpo._networks.initialisation import is_constant
from proxyhpo._networks.reach import reach
from proxyhpo._validation import check_fraction, suggesting
from proxyhpo.channels.find.skeleton import cloned, unwrap
from proxyhpo.errors import UnsupportedNetworkError, unknown_name
from proxyhpo.pruners._interface import Pruned, Pruner
from proxyhpo.pruners._masking import hold_at_zero

__all__ = ["MagnitudePruner"]

_FLOOR = 0.2
"""Minimum fraction of the density that each matrix keeps, so that none becomes zero."""


class MagnitudePruner(Pruner):
    """Masks the weights of smallest magnitude (Han et al., arXiv:1506.02626).

    **It saves no time on dense hardware**: the masked network does the same work as the full one,
    and its size is the number of nonzero weights. Use it to study sparse networks, or as a control.
    To make trials cheaper, use a structured pruner. Sparse and dense networks also have different
    best hyperparameters (arXiv:2405.15743).

    Weight matrices and kernels of all modules are masked. Embeddings, biases, gains and the head
    (the layer that produces the output) are not. Weights stay masked through any optimizer,
    ``deepcopy``, ``load_state_dict`` and moves between devices (:mod:`proxyhpo.pruners._masking`).
    A matrix whose entries are all equal, such as a zero-initialised one, is masked at random.

    Args:
        scope: ``"layer"`` keeps the same fraction of each matrix. ``"global"`` compares weights
            across matrices; each matrix keeps at least a fifth of that fraction.

    Raises:
        UnknownNameError: for another scope.
    """

    @suggesting
    def __init__(self, *, scope: Literal["layer", "global"] = "layer") -> None:
        if scope not in ("layer", "global"):
            raise unknown_name("scope", scope, ["layer", "global"])
        self.scope = scope

    @override
    def prune(
        self,
        network: nn.Module,
        example_inputs: Inputs,
        *,
        density: float,
        generator: torch.Generator,
    ) -> Pruned:
        check_fraction("density", density)
        network = cloned(unwrap(network))
        if density == 1:
            return Pruned(network)
        heads = reach(network, example_inputs).heads
        fans = fans_of(network)
        matrices = {
            name: parameter
            for name, parameter in network.named_parameters()
            if fans[name].fan_in is not None
            and (parameter.is_floating_point() or parameter.is_complex())
        }
        inner = {name: weight for name, weight in matrices.items() if name not in heads}
        if not inner:
            raise UnsupportedNetworkError(
                f"{type(network).__name__} has no weight matrix besides its head "
                f"({', '.join(sorted(heads)) or 'none found'}), so there is nothing to mask"
            )
        kept = self._kept(inner, density, generator)
        devices = {name: weight.device for name, weight in inner.items()}
        hold_at_zero(network, {name: ~mask.to(devices[name]) for name, mask in kept.items()})
        return Pruned(network, skipped=[(name, "head") for name in matrices if name in heads])

    def _kept(
        self, weights: Mapping[str, Tensor], density: float, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Name → True where a weight is kept."""
        magnitudes = {name: w.detach().abs().float().cpu() for name, w in weights.items()}
        constant = {name for name, magnitude in magnitudes.items() if is_constant(magnitude)}
        for name in sorted(constant):  # a fixed order, so that equal generators give equal masks
            magnitudes[name] = torch.rand(magnitudes[name].shape, generator=generator)
        kept = {name: _top(magnitude, density) for name, magnitude in magnitudes.items()}
        if self.scope == "global":
            kept |= _top_of_all({n: m for n, m in magnitudes.items() if n not in constant}, density)
        return kept


def _top(score: Tensor, density: float) -> Tensor:
    """True for the ``density`` highest entries, at least one."""
    kept = torch.zeros(score.numel(), dtype=torch.bool)
    kept[score.flatten().topk(max(1, round(density * score.numel())), sorted=False).indices] = True
    return kept.reshape(score.shape)


def _top_of_all(scores: Mapping[str, Tensor], density: float) -> dict[str, Tensor]:
    if not scores:
        return {}
    safe = [
        score.masked_fill(_top(score, density * _FLOOR), torch.inf).flatten()
        for score in scores.values()
    ]
    kept = torch.split(_top(torch.cat(safe), density), [len(score) for score in safe])
    return {
        name: mask.reshape(score.shape)
        for (name, score), mask in zip(scores.items(), kept, strict=True)
    }
