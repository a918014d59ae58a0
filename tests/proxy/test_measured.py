"""What a factory measures of a proxy, and which proxies it refuses."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from proxyhpo._networks.counting import forward
from proxyhpo._proxy import NetworkFactory
from proxyhpo.errors import UnsupportedNetworkError
from proxyhpo.pruners import L1StructuredPruner, MagnitudePruner, Pruned, Pruner
from tests.proxy.perceptrons import Fixed, Random, build, factory, seed, states_equal


def test_the_full_network():
    measured = factory().measured({}, density=1, seed=seed())
    parameters = sum(p.numel() for p in build().parameters())
    assert (measured.density, measured.width_ratio, measured.skipped) == (1, 1, ())
    assert measured.parameters == parameters
    assert measured.flops == 2 * 16 * (6 * 64 + 64 * 64 + 64 * 3)
    assert measured.step_seconds > 0
    assert states_equal(measured.network, factory().network({}, density=1, seed=seed()))


def test_a_proxy():
    measured = factory().measured({}, density=0.5, seed=seed())
    assert measured.density == 0.5
    assert measured.flops == 2 * 16 * (6 * 32 + 32 * 32 + 32 * 3)
    sizes = np.array([6 * 64, 64 * 64, 64 * 3])
    assert measured.width_ratio == pytest.approx((sizes * [1, 0.5, 0.5]).sum() / sizes.sum())
    assert measured.skipped == (("4", "head"),)
    assert states_equal(measured.network, factory().network({}, density=0.5, seed=seed()))
    assert measured.network.training


def with_stride(config):
    stride = config["stride"]
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, stride if isinstance(stride, int) else stride.size),
        nn.Conv2d(16, 16, 3),
        nn.Flatten(2),
        nn.AdaptiveAvgPool1d(1),
        nn.Flatten(),
        nn.Linear(16, 2),
    )


class Stride:
    """An object that does not print its value."""

    def __init__(self, size):
        self.size = size

    def __repr__(self):
        return "Stride()"


@pytest.mark.parametrize("option", [int, Stride])
def test_a_config_that_changes_the_work_and_no_parameter_is_counted_apart(option):
    inputs = torch.rand(2, 3, 32, 32)
    made = NetworkFactory(with_stride, L1StructuredPruner(), inputs, pretrained=False)
    for config in ({"stride": option(8)}, {"stride": option(1)}):
        measured = made.measured(config, density=1, seed=seed())
        assert measured.flops == forward(with_stride(config), inputs).flops
    proxy = made.network({"stride": option(1)}, density=0.5, seed=seed())
    assert forward(proxy, inputs).flops < measured.flops


def test_the_full_network_is_counted_once(monkeypatch):
    counted = []

    def counting(network, inputs):
        counted.append(sum(p.numel() for p in network.parameters()))
        return forward(network, inputs)

    monkeypatch.setattr("proxyhpo._proxy.factory.forward", counting)
    made = factory()
    base, proxy = (made.measured({}, density=density, seed=seed()) for density in (1, 0.5))
    assert counted == [base.parameters, proxy.parameters]


def test_masks_are_counted_by_nonzero_weights():
    base = factory().measured({}, density=1, seed=seed())
    measured = factory(pruner=MagnitudePruner()).measured({}, density=0.25, seed=seed())
    assert measured.flops == base.flops
    assert measured.parameters == base.parameters - 0.75 * (6 * 64 + 64 * 64)
    sizes = np.array([6 * 64, 64 * 64, 64 * 3])
    assert measured.width_ratio == pytest.approx((sizes * [0.25, 0.25, 1]).sum() / sizes.sum())


def test_a_proxy_that_is_not_smaller_is_an_error():
    class Whole(Pruner):
        def prune(self, network, example_inputs, *, density, generator):
            return Pruned(copy.deepcopy(network), skipped=[("conv", "a literal view")])

    with pytest.raises(UnsupportedNetworkError) as raised:
        factory(pruner=Whole()).measured({}, density=0.5, seed=seed())
    message = str(raised.value)
    assert "keeps 100% of the cost" in message
    assert "conv: a literal view" in message
    assert "by-width" in message
    assert "ignore=" not in message  # which would leave more


def test_a_proxy_that_is_hardly_smaller_is_an_error():
    with pytest.raises(UnsupportedNetworkError, match=r"keeps 9[0-9]% of the cost"):
        factory(pruner=Fixed(0.97)).measured({}, density=0.5, seed=seed())


def test_a_high_density_may_save_little():
    assert factory().measured({}, density=0.95, seed=seed()).flops > 0


def test_other_outputs_are_an_error():
    class Headless(Random):
        def prune(self, network, example_inputs, **options):
            pruned = super().prune(network, example_inputs, **options)
            return Pruned(pruned.network[:3])

    with pytest.raises(UnsupportedNetworkError, match=r"\(\(16, 32\),\).*\(\(16, 3\),\)"):
        factory(pruner=Headless()).measured({}, density=0.5, seed=seed())


def test_a_proxy_that_does_not_run_is_an_error():
    class Broken(Random):
        def prune(self, network, example_inputs, **options):
            pruned = super().prune(network, example_inputs, **options)
            pruned.network[4] = nn.Linear(99, 3)
            return pruned

    with pytest.raises(UnsupportedNetworkError, match="failed"):
        factory(pruner=Broken()).measured({}, density=0.5, seed=seed())


def test_wrapped_networks():
    def wrapped():
        return nn.DataParallel(build())

    class Unwrapping(Random):
        def prune(self, network, example_inputs, **options):
            return super().prune(network.module, example_inputs, **options)

    made = factory(wrapped, Unwrapping())
    assert made.measured({}, density=0.5, seed=seed()).width_ratio < 0.6
    assert made.measured({}, density=1, seed=seed()).flops > 0
