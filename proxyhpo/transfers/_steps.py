"""Optimizer steps in progress, and scaling the weights that they change."""

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
    """An optimizer's step that has started and not ended."""

    optimizer: weakref.ref[Optimizer]
    parts: list[Part]
    unknown: bool
    inner: set[int] = field(default_factory=set)
    """Parameters that a nested step has updated, by identity."""


def remembered(parameters: list[nn.Parameter], kept: float | Tensor) -> list[Tensor]:
    """Copies of the weights before a step, after subtracting decoupled weight decay.

    Args:
        parameters: the parameters that a step is about to change.
        kept: the fraction that remains after decay.
    """
    weights = [parameter.data for parameter in parameters]
    return list(torch._foreach_mul(weights, kept))  # noqa: SLF001 - as torch's own optimizers do it


def skipped(optimizer: Optimizer) -> Tensor | None:
    """1 if the kernel skipped a step because of gradients that are not finite, otherwise 0.

    ``torch.amp.GradScaler`` informs optimizers that unscale gradients themselves.
    """
    found: Tensor | None = getattr(optimizer, "found_inf", None)
    return found


def scale(part: Part, inner: set[int], skipped: Tensor | None) -> None:
    """Scales the effect of a step on some parameters.

    Args:
        part: the parameters, with their factor.
        inner: parameters to exclude, by identity, since a nested step has updated them.
        skipped: 1 if the step was skipped inside the kernel, see :func:`skipped`.
    """
    pairs = [
        (p.data, before)
        for p, before in zip(part.parameters, part.before, strict=False)
        # Without a gradient it has neither moved nor decayed.
        if id(p) not in inner and (p.grad is not None or not part.has_decay)
    ]
    if not pairs:
        return
    after, before = map(list, zip(*pairs, strict=True))
    weight = 1 - part.factor
    # after + (1 - factor) * (before - after); exact if nothing has moved.
    if skipped is None or not part.has_decay:
        torch._foreach_lerp_(after, before, weight)
    else:
        for now, was in zip(after, before, strict=True):
            now.lerp_(was, (weight * (1 - skipped)).to(now.device, now.dtype))
