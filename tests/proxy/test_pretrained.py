"""A small network that has learned something keeps it, and can be trained further."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from proxyhpo.pruners import L1StructuredPruner, RandomPruner
from tests.proxy.perceptrons import factory, seed


@pytest.fixture(scope="module")
def data():
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    x, y = torch.tensor(x[order], dtype=torch.float32) / 16, torch.tensor(y[order])
    return (x[:1200], y[:1200]), (x[1200:], y[1200:])


@pytest.fixture(scope="module")
def trained(data):
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10)
    )
    return fit(network, data[0], epochs=15)


def test_l1_keeps_what_was_learned_and_random_does_not(data, trained):
    def pruned(pruner, number):
        made = factory(trained, pruner, data[0][0][:8], pretrained=True)
        return accuracy(made.network({}, density=0.75, seed=seed(number)), data[1])

    at_random = np.mean([pruned(RandomPruner(), number) for number in range(5)])
    kept = pruned(L1StructuredPruner(), 0)
    assert kept > accuracy(trained, data[1]) - 0.03
    assert kept > at_random + 0.05


def test_it_fine_tunes(data, trained):
    made = factory(trained, RandomPruner(), data[0][0][:8], pretrained=True)
    proxy = made.network({}, density=0.5, seed=seed())
    before = accuracy(proxy, data[1])
    assert accuracy(fit(proxy, data[0], epochs=3), data[1]) > max(before, 0.9)


def fit(network, data, *, epochs):
    optimizer = torch.optim.SGD(network.parameters(), 0.05, momentum=0.9)
    x, y = data
    for _ in range(epochs):
        for batch in torch.randperm(len(x)).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(x[batch]), y[batch]).backward()
            optimizer.step()
    return network


def accuracy(network, data):
    with torch.no_grad():
        return float((network(data[0]).argmax(1) == data[1]).float().mean())
