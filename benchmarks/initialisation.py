"""Measures how large the outputs of proxies are at initialisation.

    python -m benchmarks.initialisation [--only NAME] [--seeds 12]

The command prints one row for each network of the catalogue without normalisation, because there
the initialisation alone determines the scale. A row has the standard deviation of the proxy's
outputs divided by that of the full network's outputs, at density .5 and .25. It is a mean over
several draws of the weights, with its standard error.
"""

from __future__ import annotations

import argparse
import math
import statistics

import torch
from torch import nn

from benchmarks.networks.catalogue import CATALOGUE, Entry
from proxyhpo._inputs import Inputs, call
from proxyhpo._networks.initialisation import rescale
from proxyhpo.channels.find.forward import outputs_of
from proxyhpo.pruners import L1StructuredPruner

_NORMALISATIONS = (
    nn.LayerNorm,
    nn.GroupNorm,
    nn.RMSNorm,
    nn.LocalResponseNorm,
    nn.modules.batchnorm._NormBase,  # noqa: SLF001 - the one base of every batch and instance norm
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", default="", help="networks whose name contains this")
    parser.add_argument("--seeds", type=int, default=12, help="draws of the weights")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print("| network | density .5 | density .25 |\n|---|---|---|")
    for entry in CATALOGUE:
        if arguments.only in entry.name and not normalises(entry.build()):
            cells = [ratio(entry, density, arguments.seeds) for density in (0.5, 0.25)]
            print(f"| {entry.name} | {' | '.join(cells)} |", flush=True)


def normalises(network: nn.Module) -> bool:
    return any(isinstance(module, _NORMALISATIONS) for module in network.modules())


def ratio(entry: Entry, density: float, seeds: int) -> str:
    """The mean over draws of the weights, and its standard error."""
    pruner, inputs = L1StructuredPruner(), entry.inputs(8)
    pairs = []
    for seed in range(seeds):
        torch.manual_seed(seed)
        full = entry.build()
        pruned = pruner.prune(full, inputs, density=density, generator=torch.Generator())
        rescale(pruned.network, full, contracted=pruned.contracted)
        pairs.append((std(pruned.network, inputs), std(full, inputs)))
    mean = sum(proxy for proxy, _ in pairs) / sum(full for _, full in pairs)
    error = statistics.stdev(proxy / full for proxy, full in pairs) / math.sqrt(seeds)
    verdict = "" if abs(mean - 1) <= 0.25 else ", off by more than 25 %"
    return f"{mean:.2f} ± {error:.2f}{verdict}"


def std(network: nn.Module, inputs: Inputs) -> float:
    """The mean over the outputs of their standard deviations, without dropout."""
    with torch.no_grad():
        outputs = outputs_of(call(network.eval(), inputs))
    return statistics.fmean(float(y.std()) for y in outputs if y.is_floating_point())


if __name__ == "__main__":
    main()
