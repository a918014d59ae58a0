import copy
import random
from itertools import pairwise

import cloudpickle
import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from proxyhpo._networks.counting import forward
from proxyhpo._proxy import NetworkFactory
from proxyhpo.errors import ArgumentError, UnsupportedNetworkError
from proxyhpo.pruners import (
    ByWidthPruner,
    L1StructuredPruner,
    MagnitudePruner,
    Pruned,
    Pruner,
    RandomPruner,
)

INPUTS = torch.zeros(16, 6)


def build():
    return nn.Sequential(
        nn.Linear(6, 64), nn.Tanh(), nn.Linear(64, 64), nn.Dropout(0.5), nn.Linear(64, 3)
    )


def of_width(config):
    n = config["n"]
    return nn.Sequential(nn.Linear(6, n), nn.Tanh(), nn.Linear(n, n), nn.Linear(n, 3))


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


def seed(*numbers):
    return np.random.SeedSequence(numbers or [1])


def factory(build=build, pruner=None, inputs=INPUTS, **options):
    return NetworkFactory(build, pruner or Random(), inputs, **options)


def states_equal(one, other):
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


class TestNetwork:
    def test_density_1_is_what_build_returns(self):
        network = factory(pruner=None).network({}, density=1, seed=seed())
        assert [p.shape for p in network.parameters()] == [p.shape for p in build().parameters()]
        wrapped = factory(lambda: nn.DataParallel(build())).network({}, density=1, seed=seed())
        assert isinstance(wrapped, nn.DataParallel)

    @pytest.mark.parametrize("density", [1, 0.5])
    def test_equal_arguments_give_equal_networks_other_seeds_others(self, density):
        made = factory()
        one, two = (made.network({}, density=density, seed=seed(3)) for _ in range(2))
        other = made.network({}, density=density, seed=seed(4))
        assert states_equal(one, two)
        assert not states_equal(one, other)
        assert states_equal(one, factory().network({}, density=density, seed=seed(3)))

    def test_a_seed_can_be_used_again(self):
        made, source = factory(), seed(3)
        one, two = (made.network({}, density=0.5, seed=source) for _ in range(2))
        assert states_equal(one, two)

    def test_nothing_is_shared_between_networks(self):
        made = factory()
        one = made.network({}, density=1, seed=seed())
        two = made.network({}, density=1, seed=seed())
        nn.init.zeros_(one[0].weight)
        assert two[0].weight.any()

    def test_the_callers_random_states_are_put_back(self):
        state = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()
        made = factory()
        made.network({}, density=0.5, seed=seed())
        made.measured({}, density=0.5, seed=seed())
        made.pretrained_parameters({})
        made.shapes({})
        assert torch.equal(state[0], torch.get_rng_state())
        assert state[1] == random.getstate()
        assert (state[2] == np.random.get_state()[1]).all()

    def test_build_gets_the_config(self):
        made = factory(
            lambda config: nn.Sequential(nn.Linear(6, config["n"]), nn.Linear(config["n"], 2))
        )
        assert made.network({"n": 20}, density=0.5, seed=seed())[0].out_features == 20
        assert len(made.network({"n": 20}, density=0.5, seed=seed())[0].weight) == 10

    def test_new_weights_are_rescaled(self):
        made = factory()
        full = made.network({}, density=1, seed=seed())
        proxy = made.network({}, density=0.25, seed=seed())
        rms = [float(n[2].weight.detach().square().mean()) for n in (full, proxy)]
        assert rms[1] == pytest.approx(4 * rms[0], rel=1e-3)

    def test_pretrained_weights_are_inherited_and_a_new_head_is_rescaled(self):
        body = build()

        def build_on_body():
            network = copy.deepcopy(body)
            network[4] = nn.Linear(64, 3)
            return network

        made = factory(build_on_body)
        assert made.pretrained_parameters({}) == {"0.weight", "0.bias", "2.weight", "2.bias"}
        full = made.network({}, density=1, seed=seed())
        proxy = made.network({}, density=0.5, seed=seed())
        inherited = set(body[2].weight.flatten().tolist())
        assert set(proxy[2].weight.flatten().tolist()) <= inherited
        rms = [float(n[4].weight.detach().square().mean()) for n in (full, proxy)]
        assert rms[1] == pytest.approx(2 * rms[0], rel=1e-3)

    @pytest.mark.parametrize("pretrained", [True, False])
    def test_a_network_that_was_given_is_copied(self, pretrained):
        network = build()
        made = factory(network, pretrained=pretrained)
        proxy = made.network({}, density=0.5, seed=seed())
        weights = set(network[2].weight.flatten().tolist())
        assert (set(proxy[2].weight.flatten().tolist()) <= weights) == pretrained
        assert states_equal(made.network({}, density=1, seed=seed()), network)

    @pytest.mark.parametrize("density", [0, -1, 1.5, float("nan"), True])
    def test_density_is_checked(self, density):
        with pytest.raises(ArgumentError, match=r"density must be in \(0, 1\]"):
            factory().network({}, density=density, seed=seed())

    def test_a_constructor_that_seeds_itself_must_say_what_is_pretrained(self):
        def seeded():
            torch.manual_seed(0)
            return build()

        made = factory(seeded)
        made.network({}, density=1, seed=seed())
        with pytest.raises(ArgumentError, match="build seeds torch's random state"):
            made.network({}, density=0.5, seed=seed())

    def test_a_pruner_that_reads_torchs_state_still_repeats(self):
        class Careless(Random):
            def prune(self, network, example_inputs, *, density, generator):
                other = torch.Generator().manual_seed(int(torch.randint(9**9, ())))
                return super().prune(network, example_inputs, density=density, generator=other)

        one, two = (
            factory(pruner=Careless()).network({}, density=0.5, seed=seed()) for _ in range(2)
        )
        assert states_equal(one, two)

    def test_it_travels_to_workers(self):
        made = factory()
        made.pretrained_parameters({})
        travelled = cloudpickle.loads(cloudpickle.dumps(made))
        one, two = (m.network({}, density=0.5, seed=seed()) for m in (made, travelled))
        assert states_equal(one, two)

    def test_every_architecture_is_checked_once(self, monkeypatch):
        class Whole(Random):
            """Leaves networks of 20 features whole, and says nothing."""

            def prune(self, network, example_inputs, *, density, generator):
                density = 1 if network[0].out_features == 20 else density
                return super().prune(network, example_inputs, density=density, generator=generator)

        forwards = []

        def counted(network, inputs):
            forwards.append(network)
            return forward(network, inputs)

        monkeypatch.setattr("proxyhpo._proxy.factory.forward", counted)
        made = factory(of_width, Whole())
        made.measured({"n": 40}, density=0.5, seed=seed())
        for n, density, checks in [(40, 0.5, 0), (30, 0.5, 2), (30, 0.5, 0), (30, 0.25, 2)]:
            forwards.clear()
            made.network({"n": n}, density=density, seed=seed())
            assert len(forwards) == checks
        for _ in range(2):
            with pytest.raises(UnsupportedNetworkError, match="keeps 100% of the cost"):
                made.network({"n": 20}, density=0.5, seed=seed())

    def test_what_is_pretrained_is_found_out_once_for_an_architecture(self):
        builds = []

        def counted(config):
            builds.append(config)
            return of_width(config)

        made = factory(counted)
        for n, lr, expected in [(40, 0.1, 3), (40, 0.2, 1), (30, 0.1, 3), (40, 0.3, 1)]:
            builds.clear()
            made.network({"n": n, "lr": lr}, density=0.5, seed=seed())
            assert len(builds) == expected

    def test_a_choice_of_pretrained_weights_is_not_mixed_up_with_one_of_new_ones(self):
        body = build()

        def either(config):
            return copy.deepcopy(body) if config["pretrained"] else build()

        made = factory(either)
        inherited = set(body[2].weight.flatten().tolist())
        for pretrained in (False, True, False):
            proxy = made.network({"pretrained": pretrained}, density=0.5, seed=seed())
            assert (set(proxy[2].weight.flatten().tolist()) <= inherited) == pretrained

    def test_masks_hold_after_rescaling(self):
        proxy = factory(pruner=MagnitudePruner()).network({}, density=0.3, seed=seed())
        away = dict(proxy.named_buffers())["2.weight_proxyhpo_away"]
        assert not proxy[2].weight[away].any()


class TestArguments:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"pruner": "l1-structured"}, "pruner must be a Pruner"),
            ({"inputs": [1]}, "example_inputs"),
            ({"device": "cud"}, "device: torch has no device named 'cud'"),
            ({"build": 3}, "build must be"),
            ({"pruner": ByWidthPruner()}, "build must take `width`"),
        ],
    )
    def test_they_are_refused_at_once(self, options, message):
        with pytest.raises(ArgumentError, match=message):
            factory(**options)


class TestByWidth:
    @staticmethod
    def narrow(config, width):
        n = round(config["n"] * width)
        return nn.Sequential(nn.Linear(6, n), nn.Tanh(), nn.Linear(n, n), nn.Linear(n, 3))

    def test_build_makes_the_narrow_network(self):
        made = factory(self.narrow, ByWidthPruner())
        proxy = made.measured({"n": 40}, density=0.5, seed=seed())
        assert proxy.network[0].out_features == 20
        assert 0.5 < proxy.width_ratio < 0.6  # the first layer keeps its inputs
        assert made.network({"n": 40}, density=1, seed=seed())[0].out_features == 40

    def test_its_weights_are_as_it_drew_them(self):
        made = factory(self.narrow, ByWidthPruner())
        weight = made.network({"n": 400}, density=0.25, seed=seed())[2].weight.detach()
        assert float(weight.abs().max()) == pytest.approx(1 / 10, rel=0.01)

    def test_it_repeats(self):
        one, two = (
            factory(self.narrow, ByWidthPruner()).network({"n": 40}, density=0.5, seed=seed())
            for _ in range(2)
        )
        assert states_equal(one, two)


class TestMeasured:
    def test_the_full_network(self):
        measured = factory().measured({}, density=1, seed=seed())
        parameters = sum(p.numel() for p in build().parameters())
        assert (measured.density, measured.width_ratio, measured.skipped) == (1, 1, ())
        assert measured.parameters == parameters
        assert measured.flops == 2 * 16 * (6 * 64 + 64 * 64 + 64 * 3)
        assert measured.step_seconds > 0
        assert states_equal(measured.network, factory().network({}, density=1, seed=seed()))

    def test_a_proxy(self):
        measured = factory().measured({}, density=0.5, seed=seed())
        assert measured.density == 0.5
        assert measured.flops == 2 * 16 * (6 * 32 + 32 * 32 + 32 * 3)
        sizes = np.array([6 * 64, 64 * 64, 64 * 3])
        assert measured.width_ratio == pytest.approx((sizes * [1, 0.5, 0.5]).sum() / sizes.sum())
        assert measured.skipped == (("4", "head"),)
        assert states_equal(measured.network, factory().network({}, density=0.5, seed=seed()))
        assert measured.network.training

    def test_masks_are_counted_by_nonzero_weights(self):
        base = factory().measured({}, density=1, seed=seed())
        measured = factory(pruner=MagnitudePruner()).measured({}, density=0.25, seed=seed())
        assert measured.flops == base.flops
        assert measured.parameters == base.parameters - 0.75 * (6 * 64 + 64 * 64)
        sizes = np.array([6 * 64, 64 * 64, 64 * 3])
        assert measured.width_ratio == pytest.approx((sizes * [0.25, 0.25, 1]).sum() / sizes.sum())

    def test_what_did_not_become_smaller_is_an_error(self):
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

    def test_what_hardly_became_smaller_too(self):
        with pytest.raises(UnsupportedNetworkError, match=r"keeps 9[0-9]% of the cost"):
            factory(pruner=Fixed(0.97)).measured({}, density=0.5, seed=seed())

    def test_but_a_high_density_is_what_it_is(self):
        assert factory().measured({}, density=0.95, seed=seed()).flops > 0

    def test_other_outputs_are_an_error(self):
        class Headless(Random):
            def prune(self, network, example_inputs, **options):
                pruned = super().prune(network, example_inputs, **options)
                return Pruned(pruned.network[:3])

        with pytest.raises(UnsupportedNetworkError, match=r"\(\(16, 32\),\).*\(\(16, 3\),\)"):
            factory(pruner=Headless()).measured({}, density=0.5, seed=seed())

    def test_a_proxy_that_does_not_run_is_an_error(self):
        class Broken(Random):
            def prune(self, network, example_inputs, **options):
                pruned = super().prune(network, example_inputs, **options)
                pruned.network[4] = nn.Linear(99, 3)
                return pruned

        with pytest.raises(UnsupportedNetworkError, match="failed"):
            factory(pruner=Broken()).measured({}, density=0.5, seed=seed())

    def test_wrapped_networks(self):
        def wrapped():
            return nn.DataParallel(build())

        class Unwrapping(Random):
            def prune(self, network, example_inputs, **options):
                return super().prune(network.module, example_inputs, **options)

        made = factory(wrapped, Unwrapping())
        assert made.measured({}, density=0.5, seed=seed()).width_ratio < 0.6
        assert made.measured({}, density=1, seed=seed()).flops > 0


class Fixed(Random):
    """Whatever is asked."""

    def __init__(self, density):
        super().__init__()
        self.density = density

    def prune(self, network, example_inputs, *, density, generator):
        return super().prune(network, example_inputs, density=self.density, generator=generator)


class TestPretrainedOnDigits:
    """A small network that learned something keeps it, and goes on learning."""

    @pytest.fixture(scope="class")
    @staticmethod
    def data():
        x, y = load_digits(return_X_y=True)
        order = np.random.default_rng(0).permutation(len(x))
        x, y = torch.tensor(x[order], dtype=torch.float32) / 16, torch.tensor(y[order])
        return (x[:1200], y[:1200]), (x[1200:], y[1200:])

    @pytest.fixture(scope="class")
    @staticmethod
    def trained(data):
        torch.manual_seed(0)
        network = nn.Sequential(
            nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10)
        )
        return fit(network, data[0], epochs=15)

    def test_l1_keeps_what_was_learned_and_random_does_not(self, data, trained):
        def pruned(pruner, number):
            made = factory(trained, pruner, data[0][0][:8], pretrained=True)
            return accuracy(made.network({}, density=0.75, seed=seed(number)), data[1])

        at_random = np.mean([pruned(RandomPruner(), number) for number in range(5)])
        kept = pruned(L1StructuredPruner(), 0)
        assert kept > accuracy(trained, data[1]) - 0.03
        assert kept > at_random + 0.05

    def test_it_fine_tunes(self, data, trained):
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
