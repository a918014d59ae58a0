"""Prunes a network with Torch-Pruning, as its README describes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from benchmarks.networks.catalogue import Entry
from proxyhpo._inputs import Inputs, call
from proxyhpo._networks.counting import forward
from proxyhpo.channels.find.forward import outputs_of

__all__ = ["peer_row"]


def peer_row(entry: Entry, density: float, *, quick: bool) -> dict[str, Any]:
    """The result of Torch-Pruning: L1 scores, half of each group, the head excluded by hand.

    The numbers of attention heads are passed, as its documentation requires.
    """
    import torch_pruning  # noqa: PLC0415 - the peer is optional

    torch.manual_seed(0)
    network, inputs = entry.build().train(), entry.inputs(2)
    before = forward(network, inputs).flops
    shapes = [y.shape for y in outputs_of(call(network, inputs))]
    heads = dict(_attention(network))
    pruner = torch_pruning.pruner.MagnitudePruner(
        network,
        inputs if not isinstance(inputs, dict) else dict(inputs),
        torch_pruning.importance.MagnitudeImportance(p=1),
        pruning_ratio=1 - density,
        ignored_layers=_output_layers(network, inputs),
        num_heads=heads,
        round_to=None if quick else 8,
    )
    pruner.step()
    _note_widths(network, heads)
    network.train()
    outputs = outputs_of(call(network, inputs))
    if [y.shape for y in outputs] != shapes:
        return {"peer": "the shapes of the outputs changed"}
    torch.stack([y.sum() for y in outputs]).sum().backward()
    after = forward(network, inputs).flops
    return {"peer": after / before if before and after else "FLOPs cannot be counted"}


def _output_layers(network: nn.Module, inputs: Inputs) -> list[nn.Module]:
    """The layers whose output is an output of the network, or else the last layer that ran."""
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


_PROJECTIONS = ("qkv", "query", "key", "value", "q_proj", "k_proj", "v_proj", "q", "k", "v")


def _attention(network: nn.Module) -> Iterator[tuple[nn.Module, int]]:
    """The projections of attention layers, by the usual names, with their numbers of heads."""
    for module in network.modules():
        counts = (getattr(module, name, None) for name in ("num_heads", "num_attention_heads"))
        count = next((count for count in counts if isinstance(count, int)), None)
        for name in _PROJECTIONS:
            projection = getattr(module, name, None)
            if count is not None and isinstance(projection, nn.Linear):
                yield projection, count


def _note_widths(network: nn.Module, heads: dict[nn.Module, int]) -> None:
    """Corrects the sizes that attention layers store, as in the examples of Torch-Pruning."""
    for module in network.modules():
        for name, parts in (("qkv", 3), ("query", 1), ("q_proj", 1)):
            projection = getattr(module, name, None)
            if isinstance(projection, nn.Linear) and projection in heads:
                width = projection.out_features // parts
                for attribute in ("head_dim", "attention_head_size"):
                    if hasattr(module, attribute):
                        setattr(module, attribute, width // heads[projection])
                for attribute in ("all_head_size", "attn_dim"):
                    if hasattr(module, attribute):
                        setattr(module, attribute, width)
