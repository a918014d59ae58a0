"""Small studies, and what their trainings came to: shared by tests of whole studies."""

import math

import torch
from torch import nn

from proxyhpo import Float, ProxyHPO

SPACE = {"lr": Float(1e-4, 1, log=True), "momentum": Float(0, 0.9)}
INPUTS = torch.zeros(8, 6)


def build():
    return nn.Sequential(
        nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 2)
    )


def quality(config):
    return -((math.log10(config["lr"]) + 2) ** 2) - config["momentum"]


def train(network, config):
    for step in (2, 1, 0):
        with torch.no_grad():
            network[0].bias.fill_(config["lr"])
        yield quality(config) - step


def study(train=train, space=SPACE, *, build=build, **options):
    """A search with proxies of a perceptron whose hidden layers have 32 features."""
    options = {
        "example_inputs": INPUTS,
        "direction": "maximize",
        "progress": False,
        "searcher": "random",
        **options,
    }
    return ProxyHPO(build, train, space, proxies=True, **options)


def width(network):
    return network[0].out_features


def never(network, config):
    raise AssertionError("nothing may be trained")


def small_search(train, **options):
    """The result of two trials on proxies of a small network, and one on the full network."""
    return ProxyHPO(
        lambda: nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1)),
        train,
        {"lr": Float(1e-3, 1)},
        example_inputs=torch.zeros(2, 8),
        direction="minimize",
        density=0.5,
        searcher="random",
        **options,
    ).run(2, finalists=1)


def outcomes(result):
    """What each training was and came to, without times; equal studies have equal outcomes."""
    return [
        (r.trial, r.rung, r.replicate, r.config, r.trained_config, r.state, r.values, r.value)
        for r in result.records
    ]


def sorted_outcomes(result):
    """The same, whatever the order in which trainings ended."""
    return sorted(outcomes(result), key=lambda outcome: outcome[:3])
