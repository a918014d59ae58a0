"""Checks that the full network runs on the inputs, and that a pruned one can replace it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from proxyhpo._inputs import Inputs, with_batch
from proxyhpo._networks.counting import Forward
from proxyhpo._networks.fans import masked_away, parameter_count
from proxyhpo._networks.running import run
from proxyhpo.channels.cut.refusal import is_smaller, no_smaller
from proxyhpo.errors import ArgumentError, ProxyHPOError, UnsupportedNetworkError, one_line
from proxyhpo.pruners import Pruned

__all__ = ["check_outputs", "check_runs", "check_smaller"]


def check_runs(network: nn.Module, inputs: Inputs) -> None:
    """Checks that the network runs on two of the example inputs, or on all of them.

    Raises:
        ArgumentError: names ``example_inputs``, their shape, and what the network raised.
    """
    try:
        run(network, with_batch(inputs, 2))
    except (ProxyHPOError, torch.OutOfMemoryError):
        raise
    except Exception as cut:  # noqa: BLE001 - whatever a user's forward raises
        try:
            run(network, inputs)  # it may only support one batch size
        except torch.OutOfMemoryError:
            raise
        except Exception:  # noqa: BLE001 - likewise
            shape = _shapes(inputs)
            raise ArgumentError(
                f"the network failed on example_inputs of shape {shape}: {one_line(cut)}; "
                "example_inputs must be a typical batch, with the examples along dimension 0"
            ) from cut


def check_outputs(before: Forward, after: Forward, narrower: Mapping[int, str]) -> None:
    """Checks that a pruned network runs and that its outputs have the right shapes.

    Args:
        before: a forward pass of the full network.
        after: a forward pass of the proxy.
        narrower: indices of the outputs that may have other shapes, see
            :class:`~proxyhpo.pruners.Pruned`.

    Raises:
        UnsupportedNetworkError: with the shapes, or the reason why it does not run.
    """
    if before.shapes is None or _given(before, narrower) == _given(after, narrower):
        return
    raise UnsupportedNetworkError(
        f"the pruned network's outputs have shapes {after.shapes}, the full network's "
        f"{before.shapes}; {after.reason or 'a pruner must not prune the outputs'}"
    )


def _given(seen: Forward, narrower: Mapping[int, str]) -> Sequence[tuple[int, ...] | None] | None:
    """The shapes of the outputs; None for those that may differ."""
    if seen.shapes is None:
        return None
    return [None if place in narrower else shape for place, shape in enumerate(seen.shapes)]


def check_smaller(
    pruned: Pruned, full: nn.Module, density: float, before: Forward, after: Forward
) -> None:
    """Checks that a proxy costs less than the full network, and is not far narrower than asked.

    Args:
        pruned: the proxy.
        full: the network from which it was made.
        density: the requested density.
        before: a forward pass of the full network.
        after: a forward pass of the proxy.

    Raises:
        UnsupportedNetworkError: lists what was not pruned, the reasons, and alternatives; or the
            narrowest layers.
    """
    _check_widths(pruned.network, full, density)
    left = _left(pruned.network, full, before, after)
    if not (is_smaller(left, density) if _is_cut(pruned.network, full) else left < 1):
        raise no_smaller(
            full,
            left,
            density,
            pruned.skipped,
            otherwise=f"the pruner returned a network with {left:.0%} of the cost"
            if left < 0.995
            else "the pruner returned a network of equal cost",
        )


def _check_widths(network: nn.Module, full: nn.Module, density: float) -> None:
    """Refuses a proxy whose layers keep, in the mean, less than half of the requested density.

    Rounding explains a smaller difference. Such a proxy would be a much worse approximation than
    the density suggests.
    """
    kept, sizes = {}, {}
    parameters = dict(network.named_parameters())
    for name, whole in full.named_parameters():
        if whole.ndim > 1 and name in parameters and parameters[name].ndim == whole.ndim:
            pairs = zip(parameters[name].shape, whole.shape, strict=True)
            shares = [after / before for after, before in pairs if after != before]
            kept[name] = math.prod(shares) ** (1 / max(len(shares), 1))
            sizes[name] = whole.numel()
    mean = sum(kept[name] * size for name, size in sizes.items()) / max(sum(sizes.values()), 1)
    if not kept or mean >= density / 2:
        return
    narrow = sorted(kept, key=lambda name: kept[name])[:3]
    shapes = (
        f"{n} {tuple(parameters[n].shape)} of {tuple(full.get_parameter(n).shape)}" for n in narrow
    )
    raise UnsupportedNetworkError(
        f"the proxy of {type(full).__name__} keeps {mean:.2g} of the widths of its layers, far "
        f"below the density {density:.3g} that was requested: {', '.join(shapes)}. Use a "
        "higher density, name these layers in the pruner's ignore, or use pruner='by-width' with a "
        "constructor that takes a width"
    )


def _left(network: nn.Module, full: nn.Module, before: Forward, after: Forward) -> float:
    """The fraction of FLOPs that is left; of weights for masks, or if FLOPs are unknown."""
    if _is_cut(network, full) and before.flops and after.flops:
        return after.flops / before.flops
    return parameter_count(network, masked_away(network, full)) / parameter_count(full)


def _is_cut(network: nn.Module, full: nn.Module) -> bool:
    """Whether tensors became smaller, rather than masked."""
    return parameter_count(network) < parameter_count(full)


def _shapes(inputs: Any) -> Any:
    """The inputs with each tensor replaced by its shape, for a message."""
    if isinstance(inputs, Tensor):
        return tuple(inputs.shape)
    if isinstance(inputs, Mapping):
        return {name: _shapes(part) for name, part in inputs.items()}
    return [_shapes(part) for part in inputs] if isinstance(inputs, (tuple, list)) else inputs
