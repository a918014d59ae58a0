"""A small network, trained with and without scaled updates."""

import torch
from torch import nn
from torch.optim import optimizer as torch_optimizer

from proxyhpo._networks.fans import FanRatios
from proxyhpo.transfers import scaled_updates

FACTORS = {"0.weight": 2.0, "0.bias": 1.0, "2.weight": 4.0, "2.bias": 0.5}

FANS = {name: FanRatios(0.5, 0.5) for name in FACTORS}

X, Y = torch.randn(16, 3, generator=torch.Generator().manual_seed(1)), torch.arange(16) % 2


def build():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2))


def by_name(update):
    return FACTORS.get(update.parameter, 1.0)


def hooks():
    return (
        len(torch_optimizer._global_optimizer_pre_hooks),
        len(torch_optimizer._global_optimizer_post_hooks),
    )


def loss_of(network):
    return nn.functional.cross_entropy(network(X), Y)


def train(network, optimizer, steps=5):
    for _ in range(steps):
        optimizer.zero_grad()
        loss_of(network).backward()
        optimizer.step()
    return network


def values(network):
    return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])


def scaled(make, steps=5, rule=by_name, network=None):
    network = build() if network is None else network
    with scaled_updates(network, FANS, rule) as scaling:
        train(network, make(network.parameters()), steps)
    return network, scaling.correction
