"""The networks that a factory makes."""

import copy
import random

import cloudpickle
import numpy as np
import pytest
import torch
from torch import nn

from proxyhpo._networks.counting import forward
from proxyhpo.errors import ArgumentError, UnsupportedNetworkError
from proxyhpo.pruners import (
    ByWidthPruner,
    MagnitudePruner,
)
from tests.proxy.perceptrons import Random, build, factory, seed, states_equal


def of_width(config):
    n = config["n"]
    return nn.Sequential(nn.Linear(6, n), nn.Tanh(), nn.Linear(n, n), nn.Linear(n, 3))


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
        for n, density, checks in [(40, 0.5, 0), (30, 0.5, 2), (30, 0.5, 0), (30, 0.25, 1)]:
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
