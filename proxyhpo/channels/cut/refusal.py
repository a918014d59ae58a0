"""The error for a network that did not become smaller, the same for all pruners."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from proxyhpo.errors import UnsupportedNetworkError, is_about_sizes

__all__ = ["advice_on_sizes", "is_smaller", "no_smaller"]

_ENOUGH = 0.9
"""A proxy that costs more than this fraction is rejected, unless the density asked for it."""

_SHOWN = 20

_WAYS_OUT = (
    "Alternatives: a constructor that makes the narrow network, build(width) with "
    "pruner='by-width'; a rule for an operator that has none (entry points "
    "proxyhpo.operator_rules); a lower density; or a search on the full network, proxies=False."
)

_LITERAL_SIZES = (
    "Does forward contain a literal size? Write x.flatten(1) instead of x.view(-1, 256 * 8 * 8), "
    "or read the number from an attribute of the module, such as self.n. If it contains none, use "
    "a constructor that makes the narrow network, build(width) with pruner='by-width'; or search "
    "on the full network, proxies=False."
)


def is_smaller(left: float, density: float) -> bool:
    """Whether a network of which this fraction is left counts as smaller.

    Near density 1 the limit is half of the requested reduction, since some layers are never pruned.

    >>> is_smaller(0.85, density=0.25), is_smaller(0.95, density=0.25)
    (True, False)
    >>> is_smaller(0.96, density=0.95), is_smaller(0.98, density=0.95)
    (True, False)
    """
    return left < max(_ENOUGH, (1 + density) / 2)


def no_smaller(
    network: nn.Module,
    left: float,
    density: float,
    skipped: Sequence[tuple[str, str]],
    *,
    otherwise: str = "no channels lead from one layer to another",
) -> UnsupportedNetworkError:
    """The error, with what was not pruned, the reasons, and alternatives.

    Args:
        network: the full network.
        left: the fraction of its cost that would be left.
        density: the requested density.
        skipped: what was not pruned, as (name, reason).
        otherwise: the reason if nothing is listed.
    """
    reasons = [f"  {_described(network, name)}: {why}" for name, why in skipped[:_SHOWN]]
    more = len(skipped) - len(reasons)
    keeps = f"keeps {left:.0%} of the cost of {type(network).__name__}"
    lines = [
        f"the proxy of density {density:.3g} {keeps}, so it saves too little. Not pruned:",
        *(reasons or [f"  no layer: {otherwise}"]),
        *([f"  and {more} more"] if more > 0 else []),
        advice_on_sizes(skipped) or _WAYS_OUT,
    ]
    return UnsupportedNetworkError("\n".join(lines))


def advice_on_sizes(skipped: Sequence[tuple[str, str]]) -> str:
    """What to change if a literal size may have prevented pruning; empty if nothing suggests it.

    Args:
        skipped: what was not pruned, as (name, reason).
    """
    return _LITERAL_SIZES if any(_is_wrong_size(why) for _, why in skipped) else ""


def _is_wrong_size(why: str) -> bool:
    """Whether the smaller network failed at a size, or had another one than predicted."""
    return is_about_sizes(why) or " gives shape " in why


def _described(network: nn.Module, name: str) -> str:
    """A tensor's or module's name, with the type of the module that it belongs to."""
    modules = dict(network.named_modules())
    owner = name
    while owner not in modules:
        owner = owner.rpartition(".")[0]
    return f"{name} ({type(modules[owner]).__name__})" if owner else name
