"""Prunes one full network, and keeps the scale of its initialisation."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import nn

from proxyhpo._inputs import Inputs
from proxyhpo._networks.building import Builder
from proxyhpo._networks.initialisation import rescale
from proxyhpo._seeding import preserved_random_state, seed_everything
from proxyhpo.channels.find.skeleton import unwrap
from proxyhpo.errors import ArgumentError
from proxyhpo.pruners import Pruned, Pruner

__all__ = ["check_constructor", "prune"]


def check_constructor(pruner: Pruner, builder: Builder) -> None:
    """Checks that ``build`` can make narrow networks if the pruner needs them.

    Raises:
        ArgumentError: names the pruner, and what ``build`` lacks.
    """
    if pruner.needs_constructor and (reason := builder.no_width):
        raise ArgumentError(
            f"pruner {type(pruner).__name__} needs a constructor that makes narrow networks: "
            f"build must take `width`, a fraction in (0, 1]; {reason}"
        )


def prune(
    pruner: Pruner,
    builder: Builder,
    full: nn.Module,
    *,
    config: Mapping[str, Any],
    inputs: Inputs,
    density: float,
    seeds: tuple[int, int],
) -> Pruned:
    """The pruned network, with its weights rescaled or inherited.

    Args:
        pruner: makes it.
        builder: made ``full``, from ``config``.
        full: the full network; it is not changed.
        config: in terms of the full network, with objects instead of labels.
        inputs: a typical batch.
        density: below 1.
        seeds: for the pruner's generator, and for code that runs while it prunes (a forward pass
            with dropout, or a plug-in that uses the global random state).

    Raises:
        ArgumentError: for invalid settings of the pruner.
        UnsupportedNetworkError: if the network cannot be pruned.
        TypeError: if the pruner returns another type.
    """
    if pruner.needs_constructor:
        pruner = pruner.with_constructor(partial(_at_width, builder, config))
    generator = torch.Generator().manual_seed(seeds[0])
    with preserved_random_state():
        seed_everything(seeds[1])
        try:
            pruned = pruner.prune(full, inputs, density=density, generator=generator)
        except ArgumentError as error:  # invalid settings or scores
            raise type(error)(f"{type(pruner).__name__}: {error}") from error
    if not isinstance(pruned, Pruned) or not isinstance(pruned.network, nn.Module):
        raise TypeError(
            f"{type(pruner).__name__}.prune must return a proxyhpo.pruners.Pruned with a network, "
            f"got a {type(pruned).__name__}"
        )
    if not pruned.from_scratch:
        rescale(
            pruned.network,
            unwrap(full),
            inherited=builder.origins(config, full).inherited,
            contracted=pruned.contracted,
        )
    return pruned


def _at_width(builder: Builder, config: Mapping[str, Any], width: float) -> nn.Module:
    return builder.build(config, width=width)
