"""How many products each output of a parameter sums, and what fraction of them a proxy keeps.

The *fan-in* of a weight is the number of products that one of its outputs sums. The fraction that a
proxy keeps in each layer determines how the size of its updates differs from the full network's
(see :mod:`proxyhpo.transfers`). The mean over the layers is the proxy's width ratio.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

__all__ = [
    "FanRatios",
    "Fans",
    "fan_ratios",
    "fans_of",
    "masked_away",
    "parameter_count",
    "width_ratio",
]

_ELEMENTWISE = (
    nn.Embedding,  # rows are looked up, not summed over
    nn.EmbeddingBag,
    nn.LayerNorm,
    nn.GroupNorm,
    nn.modules.batchnorm._NormBase,  # noqa: SLF001 - the one base of every batch and instance norm
    nn.PReLU,
)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)

Contracted = Mapping[str, tuple[int, ...]]
"""Parameter name → the dimensions that its products sum over; none for what sums nothing."""


@dataclass(frozen=True)
class Fans:
    """The fans of a parameter.

    Args:
        fan_in: how many products each of its outputs sums; None if it is not a weight matrix.
        outputs: how many outputs it has: the size of the dimensions that are not summed over.
    """

    fan_in: float | None
    outputs: float


@dataclass(frozen=True)
class FanRatios:
    """The fraction of the full network's fans that a parameter of a proxy keeps.

    Args:
        r_in: kept fraction of its fan-in; None for parameters that are not weight matrices (biases,
            gains, embeddings, positions).
        r_out: kept fraction of its outputs.
    """

    r_in: float | None
    r_out: float


def fans_of(network: nn.Module, contracted: Contracted | None = None) -> dict[str, Fans]:
    """Every name of a parameter → its fans.

    Args:
        network: contains the parameters.
        contracted: the dimensions that are summed over, if the pruner knows them. Otherwise they
            follow from the module types.

    >>> fans = fans_of(nn.Sequential(nn.Conv2d(3, 8, 5), nn.BatchNorm2d(8)))
    >>> fans["0.weight"], fans["1.weight"]
    (Fans(fan_in=75, outputs=8), Fans(fan_in=None, outputs=8))
    """
    known = contracted or {}
    return {
        name: _fans(module, leaf, weight, known.get(name))
        for name, module, leaf, weight in _named(network)
    }


def fan_ratios(
    network: nn.Module, full: nn.Module, contracted: Contracted | None = None
) -> dict[str, FanRatios]:
    """Parameter name → the fractions of its fans that a proxy keeps.

    If weights are masked rather than cut, the fan-in's fraction is replaced by the fraction of
    nonzero weights that is kept. All outputs then remain.

    Args:
        network: the proxy; its parameters have the same names as in ``full``.
        full: the network from which it was made.
        contracted: the dimensions that are summed over, if the pruner knows them. Otherwise they
            follow from the module types.

    >>> fan_ratios(nn.Linear(16, 4), nn.Linear(64, 4))["weight"]
    FanRatios(r_in=0.25, r_out=1.0)
    """
    originals = dict(full.named_parameters())
    away, aliases = masked_away(network, full), _aliases(full)
    before, after = fans_of(full, contracted), fans_of(network, contracted)
    ratios = {}
    for name, parameter in network.named_parameters():
        original = originals.get(name)
        if original is None:
            continue
        alias = name
        if name not in (contracted or {}):  # a tied weight may be a matrix under another name
            alias = next((a for a in aliases[original] if before[a].fan_in is not None), name)
        was, now = before[alias], after[alias]
        r_in = None if was.fan_in is None else (now.fan_in or 0) / was.fan_in
        if name in away and r_in is not None:
            r_in = int(parameter.count_nonzero()) / int(original.count_nonzero())
        ratios[name] = FanRatios(r_in, now.outputs / max(was.outputs, 1))
    return ratios


def width_ratio(
    network: nn.Module,
    full: nn.Module,
    contracted: Contracted | None = None,
    unreached: Collection[str] = (),
) -> float:
    """The mean kept fraction of fan-in over the trained weight matrices, weighted by full size.

    Matrices that are frozen, or that no output depends on (a teacher, a weight average, a disabled
    auxiliary head), do not take part in training and are not counted.

    Args:
        network: the proxy.
        full: the network from which it was made.
        contracted: the dimensions that are summed over, if the pruner knows them.
        unreached: names of parameters that no output depends on.
    """
    parameters = dict(full.named_parameters())
    kept = {
        name: ratios.r_in
        for name, ratios in fan_ratios(network, full, contracted).items()
        if ratios.r_in is not None
    }
    trained = {n for n in kept if parameters[n].requires_grad and n not in unreached}
    sizes = {name: parameters[name].numel() for name in trained or kept}
    total = sum(sizes.values())
    return sum(kept[name] * size for name, size in sizes.items()) / total if total else 1.0


def parameter_count(network: nn.Module, away: Mapping[str, int] | None = None) -> int:
    """The number of weights, without those that masks hold at zero."""
    return sum(p.numel() for p in network.parameters()) - sum((away or {}).values())


def masked_away(network: nn.Module, full: nn.Module) -> dict[str, int]:
    """Parameter name → how many of its weights became zero, if its shape is unchanged."""
    originals = dict(full.named_parameters())
    away = {
        name: int(originals[name].count_nonzero() - parameter.count_nonzero())
        for name, parameter in network.named_parameters()
        if name in originals and parameter.shape == originals[name].shape
    }
    return {name: count for name, count in away.items() if count > 0}


def _fans(module: nn.Module, leaf: str, weight: Tensor, contracted: tuple[int, ...] | None) -> Fans:
    shape = weight.shape
    if isinstance(module, _TRANSPOSED) and weight.ndim >= 3:  # (in, out / groups, *kernel)
        fan_in = shape[0] // module.groups * math.prod(shape[2:])
        return Fans(fan_in, shape[1] * module.groups)
    if contracted is None:
        contracted = _contracted_by_type(module, leaf, weight)
    product = math.prod(shape[dim] for dim in contracted)
    # A matrix that is used both ways, as in a tied autoencoder: products sum over both dimensions.
    if weight.ndim > 1 and len(contracted) == weight.ndim:
        return Fans(math.sqrt(product), math.sqrt(product))
    outputs = math.prod(size for dim, size in enumerate(shape) if dim not in contracted)
    return Fans(product if contracted else None, outputs)


def _contracted_by_type(module: nn.Module, leaf: str, weight: Tensor) -> tuple[int, ...]:
    if weight.ndim < 2 or isinstance(module, _ELEMENTWISE):
        return ()
    if isinstance(module, nn.MultiheadAttention) and leaf in ("bias_k", "bias_v"):
        return ()
    if weight.ndim > 2 and weight.shape[0] == 1 and leaf != "weight":
        return ()  # for example positions of shape (1, tokens, channels), which are added
    return tuple(range(1, weight.ndim))


def _named(network: nn.Module) -> Iterator[tuple[str, nn.Module, str, nn.Parameter]]:
    """Every name of every parameter, the module that contains it, and its name there."""
    for path, module in network.named_modules(remove_duplicate=False):
        for leaf, weight in module._parameters.items():  # noqa: SLF001 - a module may override named_parameters
            if weight is not None:
                yield f"{path}.{leaf}" if path else leaf, module, leaf, weight


def _aliases(network: nn.Module) -> dict[Tensor, list[str]]:
    """Parameter → all its names."""
    names: dict[Tensor, list[str]] = {}
    for name, _, _, parameter in _named(network):
        names.setdefault(parameter, []).append(name)
    return names
