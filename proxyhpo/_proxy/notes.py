"""What an inspection says about the parameters: inherited, frozen, unreached, width ratio."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from torch import nn

from proxyhpo._networks.fans import fan_ratios
from proxyhpo._networks.origins import Origins
from proxyhpo._proxy.proxy import Proxy
from proxyhpo.channels.find.skeleton import unwrap

__all__ = ["notes"]

_SHOWN = 5


def notes(proxy: Proxy, base: Proxy, origins: Origins) -> list[str]:
    """One line for each note that applies.

    Args:
        proxy: the smaller network.
        base: the full one.
        origins: which parameters are considered pretrained.
    """
    full = unwrap(base.network)
    frozen = [name for name, parameter in full.named_parameters() if not parameter.requires_grad]
    found = []
    if proxy.density < 1:
        found.append(f"width ratio: {_width(proxy, full, frozen)}")
    if origins.inherited:
        whole = "the network is" if origins.is_pretrained else "but the network is not"
        found.append(
            f"inherited:   {_listed(origins.inherited, full)}; {origins.share:.0%} of the weights "
            f"are pretrained, {whole} considered pretrained"
        )
    if frozen:
        found.append(f"frozen:      {_listed(frozen, full)}")
    if base.unreached:
        found.append(
            f"unreached:   {_listed(base.unreached, full)}; no output depends on them in training"
        )
    return found


def _width(proxy: Proxy, full: nn.Module, frozen: Collection[str]) -> str:
    """How the width ratio is computed."""
    ratios = {
        name: fans.r_in
        for name, fans in fan_ratios(proxy.network, full, proxy.contracted).items()
        if fans.r_in is not None
    }
    left_out = {name for name in ratios if name in frozen or name in proxy.unreached}
    counted = {n: r for n, r in ratios.items() if n not in left_out} or ratios
    if not counted:
        return "1, since there is no weight matrix"
    least, most = min(counted, key=counted.__getitem__), max(counted, key=counted.__getitem__)
    text = (
        f"the mean kept fan-in of {len(counted)} weight matrices, from {counted[least]:.3g} "
        f"({least}) to {counted[most]:.3g} ({most})"
    )
    return text + ("; frozen and unreached ones are excluded" if frozen or proxy.unreached else "")


def _listed(names: Iterable[str], network: nn.Module) -> str:
    """Names of parameters, or of modules if all their parameters are included."""
    left, found = set(names), []
    for path, module in network.named_modules():
        inside = {f"{path}.{n}" if path else n for n, _ in module.named_parameters()}
        if inside and inside <= left:
            found.append(path or "the whole network")
            left -= inside
    found = sorted(found + sorted(left))
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return ", ".join(found[:_SHOWN]) + more
