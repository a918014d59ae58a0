"""The steps of optimizers that are under way, and how the weights that they move are scaled."""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

__all__ = ["Part", "Step", "remembered", "scale", "skipped"]


@dataclass
class Part:
    """Parameters of one group with the same factor, as they were before a step."""

    factor: float
    has_decay: bool
    parameters: list[nn.Parameter]
    before: list[Tensor]


@dataclass
class Step:
    """An optimizer's step that has begun and not ended."""

    optimizer: weakref.ref[Optimizer]
    parts: list[Part]
    unknown: bool
    inner: set[int] = field(default_factory=set)
    """Parameters that a step inside this one has updated, by identity."""


def remembered(parameters: list[nn.Parameter], kept: float | Tensor) -> list[Tensor]:
    """Copies of the weights before a step, less what decoupled weight decay takes off them.

    Args:
        parameters: that a step is about to move.
        kept: the share that decay leaves.
    """
    weights = [parameter.data for parameter in parameters]
    return list(torch._foreach_mul(weights, kept))  # noqa: SLF001 - as torch's own optimizers do it


def skipped(optimizer: Optimizer) -> Tensor | None:
    """1 where a step inside the kernel was skipped for gradients that are not finite, else 0.

    Optimizers that unscale gradients themselves are told by ``torch.amp.GradScaler`` so.
    """
    found: Tensor | None = getattr(optimizer, "found_inf", None)
    return found


def scale(part: Part, inner: set[int], skipped: Tensor | None) -> None:
    """Scales what a step has done to some parameters.

    Args:
        part: the parameters, with their factor.
        inner: parameters to leave, by identity, since a step inside this one has updated them.
        skipped: 1 where the step was skipped inside the kernel, see :func:`skipped`.
    """
    pairs = [
        (p.data, before)
        for p, before in zip(part.parameters, part.before, strict=False)
        # Without a gradient it has not moved, and has not decayed either.
        if id(p) not in inner and (p.grad is not None or not part.has_decay)
    ]
    if not pairs:
        return
    after, before = map(list, zip(*pairs, strict=True))
    weight = 1 - part.factor
    # after + (1 - factor) * (before - after); exact where nothing has moved.
    if skipped is None or not part.has_decay:
        torch._foreach_lerp_(after, before, weight)
    else:
        for now, was in zip(after, before, strict=True):
            now.lerp_(was, (weight * (1 - skipped)).to(now.device, now.dtype))
