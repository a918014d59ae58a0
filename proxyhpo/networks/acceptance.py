"""Whether a pruned network can stand in for the full one."""

from __future__ import annotations

from torch import nn

from proxyhpo.channels.refusal import is_smaller, no_smaller
from proxyhpo.errors import UnsupportedNetworkError
from proxyhpo.networks.measuring import Forward, masked_away, parameter_count
from proxyhpo.pruners import Pruned

__all__ = ["check_outputs", "check_smaller"]


def check_outputs(before: Forward, after: Forward) -> None:
    """Refuses a pruned network whose outputs have other shapes, or that does not run.

    Raises:
        UnsupportedNetworkError: saying which shapes, or why.
    """
    if before.shapes is None or before.shapes == after.shapes:
        return
    raise UnsupportedNetworkError(
        f"the pruned network's outputs have the shapes {after.shapes}, the full one's "
        f"{before.shapes}; {after.reason or 'a pruner must leave the head whole'}"
    )


def check_smaller(
    pruned: Pruned, full: nn.Module, density: float, before: Forward, after: Forward
) -> None:
    """Refuses a proxy that costs what the full network costs: an error, not a result.

    Args:
        pruned: the proxy.
        full: the network that it came from.
        density: that was asked for.
        before: a forward of the full network.
        after: a forward of the proxy.

    Raises:
        UnsupportedNetworkError: with what was left whole and why, and the ways out.
    """
    left = _left(pruned.network, full, before, after)
    if not (is_smaller(left, density) if _is_cut(pruned.network, full) else left < 1):
        raise no_smaller(full, left, density, pruned.skipped)


def _left(network: nn.Module, full: nn.Module, before: Forward, after: Forward) -> float:
    """The fraction of FLOPs that is left; of weights, for masks and where FLOPs are unknown."""
    if _is_cut(network, full) and before.flops and after.flops:
        return after.flops / before.flops
    return parameter_count(network, masked_away(network, full)) / parameter_count(full)


def _is_cut(network: nn.Module, full: nn.Module) -> bool:
    """Whether tensors became smaller, rather than masked."""
    return parameter_count(network) < parameter_count(full)
