"""Results to be drawn: of one search in which everything happens, and of searches cut short."""

import math

import torch
from torch import nn

from proxyhpo import Choice, Float, Int, ProxyHPO

SPACE = {
    "lr": Float(1e-4, 1, log=True),
    "depth": Int(1, 8),
    "kind": Choice(["adam", "sgd in $", "<i>"]),
    "momentum": Float(0, 0.9, when=("kind", "adam")),
}


def build():
    return nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 2))


def train(network, config):
    """Fails for large learning rates; one training explodes without failing."""
    if config["lr"] > 0.3:
        raise RuntimeError("it diverged")
    full = network[0].out_features == 32
    quality = 1 - 0.1 * (math.log10(config["lr"]) + 2) ** 2 - 0.01 * config["depth"]
    for step in range(1, 5):
        value = -1e9 if config["depth"] == 8 else quality * (step if full else 0.9 * step)
        yield {"value": value, "seconds": step * (10.0 if full else 1.0)}


def search(train=train, space=SPACE, **options):
    options = {"density": 0.25, **options}
    return ProxyHPO(
        build,
        train,
        space,
        example_inputs=torch.zeros(8, 6),
        direction="maximize",
        searcher="random",
        progress=False,
        **options,
    )
