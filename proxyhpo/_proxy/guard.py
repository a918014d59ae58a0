"""Checks that the networks that are trained are the ones that were measured.

Costs, the width ratio and the correction of the learning rate come from one measured proxy. If a
trial trained another network, the search would silently rank its configs wrongly.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from proxyhpo._networks.fans import fans_of
from proxyhpo.channels.find.skeleton import unwrap
from proxyhpo.errors import UnsupportedNetworkError

__all__ = ["Guard"]

Widths = Mapping[str, tuple[tuple[int, ...], float | None]]
"""Parameter name → shape and fan-in, which determine parameter count, width ratio, correction."""


class Guard:
    """Stores what was measured for each structure and density, and compares later networks."""

    def __init__(self) -> None:
        self._measured: dict[tuple[bytes, float], Widths] = {}

    def compare(
        self,
        key: tuple[bytes, float],
        network: nn.Module,
        contracted: Mapping[str, tuple[int, ...]] | None,
    ) -> None:
        """Stores the first network of a key, and rejects later ones that differ from it.

        Args:
            key: structure of the full network, and density.
            network: full or pruned.
            contracted: parameter name → the dimensions that its products sum over, if known.

        Raises:
            UnsupportedNetworkError: names the first parameter that differs.
        """
        made = _widths(unwrap(network), contracted or {})
        measured = self._measured.setdefault(key, made)
        if made == measured:
            return
        name = next(n for n in {**measured, **made} if measured.get(n) != made.get(n))
        raise UnsupportedNetworkError(
            f"{type(unwrap(network)).__name__} at density {key[1]:.3g}: the network to be trained "
            f"differs from the one that was measured: parameter {name!r} has "
            f"{_described(made.get(name))} instead of {_described(measured.get(name))}. Widths "
            "may only depend on the config, not on earlier calls of build or on the values of "
            "the weights"
        )


def _widths(network: nn.Module, contracted: Mapping[str, tuple[int, ...]]) -> Widths:
    fans = fans_of(network, contracted)
    return {
        name: (tuple(parameter.shape), fans[name].fan_in)
        for name, parameter in network.named_parameters()
    }


def _described(width: tuple[tuple[int, ...], float | None] | None) -> str:
    if width is None:
        return "no shape (it does not exist)"
    return f"shape {width[0]} and fan-in {width[1]}"
