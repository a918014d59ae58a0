"""What Torch-Pruning makes of a network, used as its README says."""

from __future__ import annotations

import resource
from typing import Any

import torch
from torch import nn

from benchmarks.network_catalogue import Entry
from proxyhpo._inputs import Inputs, call
from proxyhpo._networks.counting import forward
from proxyhpo.channels.find.forward import outputs_of

__all__ = ["peer_row"]

_MEMORY = 12 * 2**30
"""Bytes; on some networks the peer takes all there is."""


def peer_row(entry: Entry, density: float, *, quick: bool) -> dict[str, Any]:
    """What Torch-Pruning makes of it: L1, half of each group, the head kept by hand."""
    import torch_pruning  # noqa: PLC0415 - the peer is optional

    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    torch.manual_seed(0)
    network, inputs = entry.build().train(), entry.inputs(2)
    before = forward(network, inputs).flops
    shapes = [y.shape for y in outputs_of(call(network, inputs))]
    pruner = torch_pruning.pruner.MagnitudePruner(
        network,
        inputs if not isinstance(inputs, dict) else dict(inputs),
        torch_pruning.importance.MagnitudeImportance(p=1),
        pruning_ratio=1 - density,
        ignored_layers=_heads(network, inputs),
        round_to=None if quick else 8,
    )
    pruner.step()
    network.train()
    outputs = outputs_of(call(network, inputs))
    if [y.shape for y in outputs] != shapes:
        return {"peer": "the shapes of the outputs changed"}
    torch.stack([y.sum() for y in outputs]).sum().backward()
    after = forward(network, inputs).flops
    return {"peer": after / before if before and after else "FLOPs cannot be counted"}


def _heads(network: nn.Module, inputs: Inputs) -> list[nn.Module]:
    """The layers whose output is an output of the network, or else the last that ran."""
    ran: list[tuple[nn.Module, Any]] = []

    def note(module: nn.Module, _: Any, output: Any) -> None:
        ran.append((module, output))

    layers = [m for m in network.modules() if isinstance(m, (nn.Linear, nn.modules.conv._ConvNd))]  # noqa: SLF001 - the common base of convolutions
    hooks = [layer.register_forward_hook(note) for layer in layers]
    outputs = {id(y) for y in outputs_of(call(network, inputs))}
    for hook in hooks:
        hook.remove()
    heads = [module for module, output in ran if id(output) in outputs]
    return heads or [module for module, _ in ran[-1:]]
