"""Variants of the rule that scales the update of each layer of a proxy, for comparison.

Each variant differs from the first rule in one point, and only for optimizers like Adam.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import cache
from unittest.mock import patch

from torch import nn

from benchmarks.cifar.networks import TASKS
from proxyhpo._networks.fans import FanRatios
from proxyhpo.transfers import (
    LayerwiseTransfer,
    Update,
    UpdateKind,
    UpdateRule,
    scaled_updates,
    update_kind,
)

__all__ = ["BY_NORMS", "LAYERWISE", "RULES", "WEAKER", "rule_of", "scaled"]

LAYERWISE = "layerwise"
WEAKER = "layerwise, matrices -0.75"
DECAY_TOO = "layerwise, decay scaled"
BY_NORMS = "by norms"
"""The library's rule: the first one with normalisation layers, and the weaker one without."""
by_fan_in = LayerwiseTransfer(1.0).update_rule()


def following(exponent: float) -> UpdateRule:
    """Scales hidden matrices by 1 / r, and under Adam all others by a power of their outputs."""

    def rule(update: Update) -> float | None:
        if update_kind(update) is not UpdateKind.NORMALISED or update.r_in < 1:
            return by_fan_in(update)
        return float(update.r_out**-exponent)

    return rule


RULES: Mapping[str, UpdateRule] = {
    LAYERWISE: by_fan_in,
    WEAKER: LayerwiseTransfer(0.75).update_rule(),
    "layerwise, vectors -0.5": following(0.5),
    "layerwise, vectors -1": following(1.0),
    DECAY_TOO: by_fan_in,
}


@cache
def rule_of(net: str, rule: str) -> str:
    """The rule for a network: a name in ``RULES``, or empty for none.

    >>> rule_of("vit", BY_NORMS), rule_of("vgg", BY_NORMS), rule_of("vgg", LAYERWISE)
    ('layerwise', 'layerwise, matrices -0.75', 'layerwise')
    """
    if rule != BY_NORMS:
        return rule
    norms = (nn.BatchNorm2d, nn.LayerNorm)
    has_norms = any(isinstance(module, norms) for module in TASKS[net].build().modules())
    return LAYERWISE if has_norms else WEAKER


@contextmanager
def scaled(network: nn.Module, fans: Mapping[str, FanRatios], rule: str) -> Iterator[None]:
    """Scales every optimizer's updates of a network's parameters within the context.

    Args:
        network: the proxy.
        fans: the kept fractions of fan-in and fan-out of each parameter.
        rule: a name in ``RULES``, or empty for none.
    """
    if not rule:
        yield
        return
    without_decay = patch("proxyhpo.transfers._scaling.decoupled_decay", lambda *_: 0.0)
    # Without decoupled weight decay, the decay is a part of the update and is scaled with it.
    with (
        without_decay if rule == DECAY_TOO else nullcontext(),
        scaled_updates(network, fans, RULES[rule]),
    ):
        yield
