"""The networks that are trained must be those that were measured.

Costs, the width ratio and the correction of the learning rate come from one measured proxy. If a
trial then trained another one, the search would rank its configs wrongly without any sign.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from proxyhpo._networks.fans import fan_in
from proxyhpo.channels.find.skeleton import unwrap
from proxyhpo.errors import UnsupportedNetworkError

__all__ = ["Guard"]

Widths = Mapping[str, tuple[tuple[int, ...], float | None]]
"""Parameter name → its shape and fan-in: what parameter count, width ratio and correction use."""


class Guard:
    """Remembers what was measured of each structure and density; compares what is made later."""

    def __init__(self) -> None:
        self._measured: dict[tuple[bytes, float], Widths] = {}

    def compare(
        self,
        key: tuple[bytes, float],
        network: nn.Module,
        contracted: Mapping[str, tuple[int, ...]] | None,
    ) -> None:
        """Remembers the first network of a key, and refuses a later one that differs from it.

        Args:
            key: structure of the full network, and density.
            network: full or pruned.
            contracted: parameter name → the dimensions that its products sum over, where known.

        Raises:
            UnsupportedNetworkError: naming the first parameter that differs.
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
            "must depend on the config alone, not on earlier calls of build or on the values of "
            "the weights"
        )


def _widths(network: nn.Module, contracted: Mapping[str, tuple[int, ...]]) -> Widths:
    return {
        name: (tuple(parameter.shape), fan_in(network, name, contracted.get(name)))
        for name, parameter in network.named_parameters()
    }


def _described(width: tuple[tuple[int, ...], float | None] | None) -> str:
    if width is None:
        return "no shape (there is none of that name)"
    return f"shape {width[0]} and fan-in {width[1]}"
