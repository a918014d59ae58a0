"""Inspects a proxy before a search: what it keeps, what it costs, what was not pruned."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from proxyhpo import _plugins as plugins
from proxyhpo._inputs import Inputs, at_least_two, check_inputs
from proxyhpo._networks.building import Build
from proxyhpo._networks.counting import forward
from proxyhpo._networks.fans import masked_away
from proxyhpo._proxy import NetworkFactory, Proxy
from proxyhpo._proxy.choosing import weak_saving
from proxyhpo._proxy.corrections import corrections
from proxyhpo._proxy.notes import notes
from proxyhpo.channels.find.skeleton import unwrap
from proxyhpo.errors import ArgumentError, printable
from proxyhpo.pruners import Pruner

__all__ = ["Inspection", "Layer", "inspect"]


@dataclass(frozen=True)
class Layer:
    """A module that has weights, in the proxy and in the full network.

    Args:
        name: of the module.
        kind: its type.
        channels: (kept, full) outputs.
        parameters: (kept, full) weights, without those that masks hold at zero.
        flops: (kept, full) of a forward pass of the example batch.
    """

    name: str
    kind: str
    channels: tuple[int, int]
    parameters: tuple[int, int]
    flops: tuple[int, int]


@dataclass(frozen=True, repr=False)
class Inspection:
    """A proxy compared with the full network; can be printed, or shown in a notebook.

    Args:
        base: the full network.
        proxy: the smaller network that stands in for it.
        layers: a comparison of each layer.
        warnings: possible problems of this proxy.
        notes: which parameters are pretrained, frozen or unreached, how the width ratio is
            computed, and how the transfer ``layerwise`` scales updates.
    """

    base: Proxy
    proxy: Proxy
    layers: Sequence[Layer]
    warnings: Sequence[str] = ()
    notes: Sequence[str] = ()

    @property
    def time_ratio(self) -> float:
        """Time of a training step, as a fraction of the full network's."""
        return self.proxy.step_seconds / self.base.step_seconds

    @property
    def flops_ratio(self) -> float | None:
        """FLOPs of a forward pass, as a fraction of the full network's; None if uncounted."""
        if self.proxy.flops is None or self.base.flops is None:
            return None
        return self.proxy.flops / self.base.flops

    def __repr__(self) -> str:
        table = [_TITLES, *self._rows()]
        widths = [max(len(row[column]) for row in table) for column in range(len(_TITLES))]
        lines = [
            "  ".join(
                cell.ljust(width) if column < 2 else cell.rjust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in table
        ]
        return "\n".join((*lines, "", *self._totals(), *self._remarks()))

    def _repr_html_(self) -> str:
        """The same for a notebook, HTML-escaped since names come from the user's code."""
        titles = "".join(f"<th>{title}</th>" for title in _TITLES)
        rows = "".join(
            "<tr>" + "".join(f"<td>{html.escape(printable(cell))}</td>" for cell in row) + "</tr>"
            for row in self._rows()
        )
        text = html.escape(printable("\n".join((*self._totals(), *self._remarks()))))
        return f"<table><tr>{titles}</tr>{rows}</table><pre>{text}</pre>"

    def _rows(self) -> list[tuple[str, ...]]:
        return [
            (
                layer.name or "(the network)",
                layer.kind,
                f"{layer.channels[0]:,} of {layer.channels[1]:,}",
                f"{layer.parameters[0]:,} of {layer.parameters[1]:,}",
                f"{layer.flops[0]:,} of {layer.flops[1]:,}",
            )
            for layer in self.layers
        ]

    def _totals(self) -> list[str]:
        base, proxy = self.base, self.proxy
        flops = f"not counted: {proxy.uncounted or base.uncounted}"
        if self.flops_ratio is not None:
            flops = f"{self.flops_ratio:.1%}  ({proxy.flops:,} of {base.flops:,})"
        weights = proxy.parameters / base.parameters
        took = [each.step_seconds * 1e3 for each in (proxy, base)]
        return [
            f"density      {proxy.density:.3g}, width ratio {proxy.width_ratio:.3g}",
            f"parameters   {weights:.1%}  ({proxy.parameters:,} of {base.parameters:,})",
            f"FLOPs        {flops}",
            f"step time    {self.time_ratio:.1%}  ({took[0]:.3g} of {took[1]:.3g} ms)",
        ]

    def _remarks(self) -> list[str]:
        return [
            *self.notes,
            *(f"not pruned:  {name}: {reason}" for name, reason in self.proxy.skipped),
            *(
                f"narrower:    output {name!r}; name it in the pruner's outputs if training uses it"
                for name in self.proxy.narrower
            ),
            *(f"warning:     {warning}" for warning in self.warnings),
        ]


_TITLES = ("layer", "type", "channels", "parameters", "FLOPs")


def inspect(
    build: Build,
    example_inputs: Inputs,
    *,
    density: float | None = None,
    pruner: str | Pruner = "l1-structured",
    config: Mapping[str, Any] | None = None,
    pretrained: bool | None = None,
    device: torch.device | str = "cpu",
    seed: int = 0,
) -> Inspection:
    """Makes one proxy, and shows what a search would train.

    Args:
        build: makes the full network; see :class:`~proxyhpo._proxy.NetworkFactory`.
        example_inputs: a typical batch.
        density: fraction of its channels (or weights) that each prunable layer keeps. By default
            that of a search: an eighth if every layer except the heads has at least 64 outputs, a
            quarter otherwise, or a half for a pretrained network.
        pruner: name or instance.
        config: for ``build``, with objects instead of labels.
        pretrained: whether the weights are pretrained; detected by default.
        device: where step times are measured.
        seed: of the network.

    Raises:
        ArgumentError: names the argument; also if ``build`` takes a config and none is given.
        UnsupportedNetworkError: if no smaller network can be made, with the reason.
    """
    example_inputs = at_least_two(check_inputs(example_inputs))
    networks = NetworkFactory(
        build,
        plugins.resolve("proxyhpo.pruners", pruner, Pruner),  # type: ignore[type-abstract]  # an interface
        example_inputs,
        pretrained=pretrained,
        device=device,
    )
    if config is None and networks.takes_config:
        raise ArgumentError(
            "build takes a config: pass one with a value for each name that build reads, for "
            "example config={'width': 256}"
        )
    config, seeds = config or {}, np.random.SeedSequence(seed)
    if density is None:
        density = networks.default_density(config)
    proxy = networks.measured(config, density=density, seed=seeds)
    base = networks.measured(config, density=1.0, seed=seeds)
    origins = networks.origins(config)
    return Inspection(
        base,
        proxy,
        _layers(proxy, base, example_inputs),
        _warnings(proxy, base, len(origins.inherited) if origins.is_pretrained else 0),
        [*notes(proxy, base, origins), *corrections(proxy, base, networks.normalises(config))],
    )


def _layers(proxy: Proxy, base: Proxy, inputs: Inputs) -> list[Layer]:
    full, network = unwrap(base.network), proxy.network
    away = masked_away(network, full)
    flops = [forward(each, inputs).by_module for each in (network, full)]
    layers = []
    for name, module in full.named_modules():
        if not list(module.parameters(recurse=False)):
            continue
        pair = (network.get_submodule(name), module)
        masked = sum(n for path, n in away.items() if path.rpartition(".")[0] == name)
        sizes = [sum(p.numel() for p in each.parameters(recurse=False)) for each in pair]
        layers.append(
            Layer(
                name,
                type(module).__name__,
                (_channels(pair[0]), _channels(pair[1])),
                (sizes[0] - masked, sizes[1]),
                (flops[0].get(name, 0), flops[1].get(name, 0)),
            )
        )
    return layers


def _channels(module: nn.Module) -> int:
    """Number of outputs of a module; for a recurrent module, its hidden features."""
    weights = dict(module.named_parameters(recurse=False))
    if isinstance(module, nn.RNNBase):
        return weights["weight_hh_l0"].shape[1]
    if isinstance(module, nn.modules.conv._ConvTransposeNd):  # noqa: SLF001 - the one base of all three
        return weights["weight"].shape[1] * module.groups
    weight = max(weights.values(), key=lambda parameter: parameter.ndim)
    if weight.ndim == 0:  # a temperature, or the scale of a residual branch
        return 1
    return weight.shape[1 if isinstance(module, (nn.Embedding, nn.EmbeddingBag)) else 0]


def _warnings(proxy: Proxy, base: Proxy, pretrained: int) -> list[str]:
    found = [weak] if proxy.density < 1 and (weak := weak_saving(proxy, base)) else []
    if proxy.density < 1 and pretrained:
        found.append(
            f"{pretrained} parameters are pretrained and inherited; whether the best "
            "hyperparameters of fine-tuning survive pruning is unproven"
        )
    return found
