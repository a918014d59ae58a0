"""The part of an inspection about updates: how ``layerwise`` scales those of a proxy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import nn

from proxyhpo._networks.fans import FanRatios, fan_ratios
from proxyhpo._proxy.proxy import Proxy
from proxyhpo.channels.find.skeleton import unwrap
from proxyhpo.transfers import LayerwiseTransfer, Update

__all__ = ["corrections"]

_SHOWN = 3


def corrections(proxy: Proxy, base: Proxy, has_norms: bool) -> Iterator[str]:  # noqa: FBT001 - what was found
    """One line for SGD and one for Adam, whose updates are scaled differently.

    Args:
        proxy: the smaller network.
        base: the full one.
        has_norms: whether it has normalisation layers, on which the factors of Adam depend.
    """
    full = unwrap(base.network)
    fans = fan_ratios(proxy.network, full, proxy.contracted)
    trained = {n for n, p in full.named_parameters() if p.requires_grad} - set(proxy.unreached)
    fans = {name: fans[name] for name in fans if name in trained}
    if proxy.density == 1 or not fans:
        return
    norms = "normalisation layers" if has_norms else "no normalisation layers"
    yield f"layerwise:   {_listed(_factors(torch.optim.SGD, fans, has_norms))} in SGD"
    yield f"layerwise:   {_listed(_factors(torch.optim.Adam, fans, has_norms))} in Adam; {norms}"


def _factors(
    kind: type[torch.optim.SGD | torch.optim.Adam],
    fans: Mapping[str, FanRatios],
    has_norms: bool,  # noqa: FBT001 - see above
) -> dict[str, float]:
    optimizer = kind([nn.Parameter(torch.zeros(1))])
    rule, group = LayerwiseTransfer().layerwise, optimizer.param_groups[0]
    factors = {}
    for name, ratios in fans.items():
        r_in = 1.0 if ratios.r_in is None else ratios.r_in
        factor = rule(Update(name, r_in, ratios.r_out, optimizer, group, has_norms))
        assert factor is not None, "both optimizers are known"
        factors[name] = factor
    return factors


def _listed(factors: Mapping[str, float]) -> str:
    """The range of factors, and the names of the largest."""
    scaled = {name: factor for name, factor in factors.items() if abs(factor - 1) > _EQUAL}
    if not scaled:
        return "no update is scaled"
    least, most = min(factors.values()), max(factors.values())
    largest = sorted(scaled, key=lambda name: -scaled[name])
    more = f" and {len(largest) - _SHOWN} more" if len(largest) > _SHOWN else ""
    return (
        f"updates of {len(scaled)} of {len(factors)} parameters are multiplied by {least:.3g} to "
        f"{most:.3g} ({', '.join(largest[:_SHOWN])}{more})"
    )


_EQUAL = 1e-6
