"""What is trained is what was measured."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from proxyhpo import Float, ProxyHPO
from proxyhpo._proxy import NetworkFactory
from proxyhpo.errors import UnsupportedNetworkError
from proxyhpo.pruners import L1StructuredPruner, Pruned, Pruner

X = torch.randn(16, 8)
SEEDS = [np.random.SeedSequence(n) for n in range(3)]


class Remembers(nn.Module):
    """Keeps a tensor that its first forward makes, as a rotary embedding or a mask is kept."""

    def __init__(self, width=64):
        super().__init__()
        self.width, self.cache, self.table = width, {}, None
        self.first, self.second = nn.Linear(8, width), nn.Linear(width, width)
        self.head = nn.Linear(width, 1)

    def forward(self, x):
        x = self.first(x)
        if self.table is None:
            self.table = torch.linspace(0, 1, self.width)
        if x.shape[-1] not in self.cache:
            self.cache[x.shape[-1]] = torch.ones(x.shape[-1])
        return self.head(self.second(x * self.table * self.cache[x.shape[-1]]).relu())


def test_what_a_forward_remembers_is_the_same_in_measured_and_trained_networks():
    made = NetworkFactory(Remembers, L1StructuredPruner(), X)
    measured = made.measured({}, density=0.25, seed=SEEDS[0])
    trained = made.network({}, density=0.25, seed=SEEDS[1])
    assert sum(p.numel() for p in trained.parameters()) == measured.parameters == 433
    assert trained.width == 16
    assert trained.table is None
    trained(X)
    trained.eval()(X[:3])


def test_a_network_that_has_run_before_is_pruned_as_well():
    network = Remembers()
    network.last = [network(X)]  # with its graph, which cannot be copied
    network.cache.clear()
    made = NetworkFactory(network, L1StructuredPruner(), X, pretrained=False)
    trained = made.network({}, density=0.25, seed=SEEDS[0])
    assert trained.table.shape == (16,)
    trained(X)


def test_build_must_make_the_same_network_each_time():
    widths = itertools.chain([64, 64], itertools.repeat(32))

    def build():
        width = next(widths)
        return nn.Sequential(nn.Linear(8, width), nn.ReLU(), nn.Linear(width, 1))

    made = NetworkFactory(build, L1StructuredPruner(), X)
    made.network({}, density=1, seed=SEEDS[0])
    made.network({}, density=1, seed=SEEDS[1])
    with pytest.raises(
        UnsupportedNetworkError,
        match=r"'0.weight' has shape \(32, 8\) and fan-in 8 instead of shape \(64, 8\)",
    ):
        made.network({}, density=1, seed=SEEDS[2])


class WidthByLuck(Pruner):
    """Its widths depend on the values of the weights."""

    def prune(self, network, example_inputs, *, density, generator):
        width = 12 + int(torch.randint(20, (), generator=generator))
        small = nn.Sequential(nn.Linear(8, width), nn.ReLU(), nn.Linear(width, 1))
        return Pruned(small)


def test_a_search_with_proxies_of_other_widths_than_measured_does_not_begin():
    trained = []
    hpo = ProxyHPO(
        lambda: nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 1)),
        lambda network, config: trained.append(1) or 1.0,
        {"lr": Float(1e-3, 1, log=True)},
        example_inputs=X,
        direction="minimize",
        transfer="identity",
        pruner=WidthByLuck(),
        density=0.25,
        progress=False,
    )
    with pytest.raises(UnsupportedNetworkError, match="differs from the one that was measured"):
        hpo.run(3)
    assert not trained


def test_state_that_a_forward_writes_does_not_reach_the_trainings():
    class Centred(nn.Module):
        def __init__(self):
            super().__init__()
            self.mean = nn.Parameter(torch.zeros(8), requires_grad=False)
            self.calls = 0
            self.first, self.head = nn.Linear(8, 64), nn.Linear(64, 1)

        def forward(self, x):
            self.calls += 1
            self.mean.data.lerp_(x.detach().mean(0) + 1, 0.5)
            return self.head(self.first(x - self.mean).relu())

    given = Centred()
    for build, options in ((Centred, {}), (given, {"pretrained": False})):
        made = NetworkFactory(build, L1StructuredPruner(), X, **options)
        for density in (0.25, 1):
            network = made.network({}, density=density, seed=SEEDS[0])
            assert network.mean.count_nonzero() == 0
            assert network.calls == 0
    assert given.mean.count_nonzero() == 0


def test_a_network_with_state_between_calls_is_pruned_and_timed():
    class Stateful(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm, self.head = nn.LSTM(8, 64, batch_first=True), nn.Linear(64, 1)
            self.state = None

        def forward(self, x):
            y, self.state = self.lstm(x, self.state)
            return self.head(y[:, -1])

    made = NetworkFactory(Stateful, L1StructuredPruner(), torch.randn(16, 5, 8))
    proxy = made.measured({}, density=0.25, seed=SEEDS[0])
    assert proxy.step_seconds > 0
    assert proxy.network.lstm.hidden_size == 16
    assert proxy.network.state is None
