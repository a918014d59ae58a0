"""Perceptrons, pruners of their hidden features, and factories of both."""

import copy
from itertools import pairwise

import numpy as np
import torch
from torch import nn

from proxyhpo._proxy import NetworkFactory
from proxyhpo.pruners import (
    Pruned,
    Pruner,
)

INPUTS = torch.zeros(16, 6)


def build():
    return nn.Sequential(
        nn.Linear(6, 64), nn.Tanh(), nn.Linear(64, 64), nn.Dropout(0.5), nn.Linear(64, 3)
    )


class Random(Pruner):
    """Keeps random hidden features of an MLP; what the tests need, and no more."""

    def __init__(self, rounding=1):
        self.rounding = rounding

    def prune(self, network, example_inputs, *, density, generator):
        network = copy.deepcopy(network)
        layers = [module for module in network if isinstance(module, nn.Linear)]
        for layer, after in pairwise(layers):
            n = len(layer.weight)
            many = max(1, round(n * density / self.rounding)) * self.rounding
            kept = torch.randperm(n, generator=generator)[:many].sort().values
            layer.weight = nn.Parameter(layer.weight.detach()[kept])
            layer.bias = nn.Parameter(layer.bias.detach()[kept])
            after.weight = nn.Parameter(after.weight.detach()[:, kept])
        return Pruned(network, skipped=[("4", "head")])


class Fixed(Random):
    """Prunes to one density, whatever is asked for."""

    def __init__(self, density):
        super().__init__()
        self.density = density

    def prune(self, network, example_inputs, *, density, generator):
        return super().prune(network, example_inputs, density=self.density, generator=generator)


def seed(*numbers):
    return np.random.SeedSequence(numbers or [1])


def factory(build=build, pruner=None, inputs=INPUTS, **options):
    return NetworkFactory(build, pruner or Random(), inputs, **options)


def states_equal(one, other):
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)
