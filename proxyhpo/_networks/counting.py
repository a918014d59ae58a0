"""Counts the floating-point operations of a forward pass, without computing it if possible."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from proxyhpo._inputs import Inputs
from proxyhpo.channels.find import forward as watched
from proxyhpo.channels.find.clock import Clock
from proxyhpo.channels.find.recorder import flops_of
from proxyhpo.channels.find.trace import Setting, with_or_without_values
from proxyhpo.errors import one_line

__all__ = ["Forward", "forward"]

_SECONDS = 600.0


@dataclass(frozen=True)
class Forward:
    """The results of one forward pass in train mode.

    Args:
        flops: floating-point operations of matrix products and convolutions; a multiplication and
            an addition count as two. None if they could not be counted.
        by_module: module name → its share of them, including the modules inside it.
        reason: why they could not be counted.
        shapes: of the tensors in the output; None if the forward pass failed.
    """

    flops: int | None
    by_module: Mapping[str, int] = field(default_factory=dict)
    reason: str | None = None
    shapes: tuple[tuple[int, ...], ...] | None = None


def forward(network: nn.Module, inputs: Inputs) -> Forward:
    """Counts the FLOPs of a forward pass of a copy, without values if the network is large.

    Attention and recurrent layers are counted as the products of which they consist.

    >>> import torch
    >>> forward(nn.Linear(3, 5), torch.zeros(4, 3)).flops
    120
    """
    failures = {}
    for meta in with_or_without_values(network):
        try:
            return _counted(network, inputs, Setting(meta=meta, batch=None))
        except Exception as error:  # noqa: BLE001, PERF203 - a user's forward may raise anything: the cost is then reported as unknown
            failures[meta] = one_line(error)
    return Forward(
        None,
        reason=f"the forward pass failed on the meta device ({failures[True]}) and on real tensors "
        f"({failures[False]})",
    )


def _counted(network: nn.Module, inputs: Inputs, setting: Setting) -> Forward:
    counts: Counter[str] = Counter()

    def observe(function: Any, args: Any, kwargs: Any, result: Any, modules: Sequence[str]) -> None:
        if flops := flops_of(function, args, kwargs, result):
            for name in {"", *modules}:
                counts[name] += flops

    output = watched.forward(
        setting.network(network),
        setting.inputs(inputs),
        observe,
        Clock(_SECONDS),
        meta=setting.meta,
        training=True,
    )
    shapes = tuple(tuple(tensor.shape) for tensor in watched.outputs_of(output))
    if not counts:
        return Forward(None, reason="no operator in it has a known count", shapes=shapes)
    total = counts.pop("")
    return Forward(total, dict(counts), shapes=shapes)
