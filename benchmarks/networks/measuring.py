"""Measures one row of ``benchmarks.networks``: a network with our proxy, or with the peer's."""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from benchmarks.networks.catalogue import CATALOGUE
from benchmarks.networks.strangers import strangers
from benchmarks.networks.torch_pruning import peer_row
from benchmarks.rows import Row
from proxyhpo._inputs import Inputs, call
from proxyhpo._networks.counting import forward
from proxyhpo._networks.fans import parameter_count
from proxyhpo.channels.find.forward import outputs_of
from proxyhpo.errors import UnsupportedNetworkError
from proxyhpo.pruners import L1StructuredPruner

__all__ = ["OURS", "PEER", "measure"]

OURS, PEER = "l1-structured", "Torch-Pruning"
_LEARNING_RATE = 3e-4


def measure(of: Row, family: str, arguments: argparse.Namespace) -> Row:
    """The row of a network, by our pruner or by the peer."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    catalogue = strangers(family) if arguments.strangers else CATALOGUE
    entry = next(entry for entry in catalogue if entry.name == of["network"])
    density, quick = of["density"], arguments.quick or arguments.strangers
    if of["pruner"] == PEER:
        return peer_row(entry, density, quick=quick)
    inputs = entry.inputs(min(8, entry.batch) if quick else entry.batch)
    network = entry.build().train()
    began = time.process_time()
    try:
        pruned = L1StructuredPruner().prune(
            network, inputs, density=density, generator=torch.Generator().manual_seed(0)
        )
    except UnsupportedNetworkError as refusal:
        return {"refused": str(refusal), "prune_seconds": time.process_time() - began}
    row: Row = {
        "prune_seconds": time.process_time() - began,
        "parameters": [parameter_count(each) for each in (network, pruned.network)],
        "flops": [forward(each, inputs).flops for each in (network, pruned.network)],
        "skipped": list(pruned.skipped),
        "narrower": list(pruned.narrower.values()),
    }
    if not arguments.strangers:
        pair = (network, pruned.network)
        row["step_seconds"] = _step_seconds(pair, inputs, limit=1 if quick else 40)
    return row | {"losses": _losses(pruned.network, inputs)}


def _step_seconds(networks: Sequence[nn.Module], inputs: Inputs, limit: float) -> list[float]:
    """The median time of three steps of each network, after a first one that is not counted.

    There are fewer steps if the time limit is reached. The networks take turns, so that a slower
    machine slows down all of them.
    """
    began = time.process_time()
    seconds: list[list[float]] = [[] for _ in networks]
    while len(seconds[0]) < 4 and (len(seconds[0]) < 2 or time.process_time() - began < limit):
        for network, own in zip(networks, seconds, strict=True):
            network.zero_grad()
            start = time.process_time()
            _loss(network, inputs).backward()
            own.append(time.process_time() - start)
    return [statistics.median(own[1:]) for own in seconds]


def _losses(network: nn.Module, inputs: Inputs, steps: int = 5) -> list[float]:
    """The losses before each step and after the last, with random targets and fixed dropout."""
    optimizer = torch.optim.Adam(network.parameters(), lr=_LEARNING_RATE)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = _loss(network, inputs)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return [*losses, _loss(network, inputs).item()]


def _loss(network: nn.Module, inputs: Inputs) -> Tensor:
    torch.manual_seed(1)
    outputs = [y for y in outputs_of(call(network, inputs)) if y.is_floating_point()]
    torch.manual_seed(2)
    return torch.stack([(y - torch.randn_like(y)).square().mean() for y in outputs]).sum()
