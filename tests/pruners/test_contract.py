"""The built-in pruners keep the contract, and the contract catches what breaks it."""

import copy

import pytest
import torch
from torch import nn

from proxyhpo._plugins import load
from proxyhpo.pruners import ByWidthPruner, MagnitudePruner, Pruned, Pruner
from proxyhpo.testing.pruners import CASES, PrunerContract


class TestL1Structured(PrunerContract):
    @pytest.fixture
    def pruner(self):
        return load("proxyhpo.pruners", "l1-structured")()


class TestRandom(PrunerContract):
    @pytest.fixture
    def pruner(self):
        return load("proxyhpo.pruners", "random")()


class TestMagnitude(PrunerContract):
    @pytest.fixture(params=["layer", "global"])
    def pruner(self, request):
        return MagnitudePruner(scope=request.param)


class TestByWidth(PrunerContract):
    @pytest.fixture
    def pruner(self, case):
        return ByWidthPruner(case.build)


class Breaking(Pruner):
    """Keeps the contract on the MLP, until a subclass breaks it in one way."""

    def prune(self, network, example_inputs, *, density, generator):
        return Pruned(self.smaller(network, density, generator))

    def smaller(self, network, density, generator):
        network = copy.deepcopy(network)
        linear, after = network[0], network[2]
        kept = range(round(density * len(linear.weight)))
        return self.cut(network, linear, after, list(kept))

    @staticmethod
    def cut(network, linear, after, kept):
        for module, name, values in [
            (linear, "weight", linear.weight[kept]),
            (linear, "bias", linear.bias[kept]),
            (after, "weight", after.weight[:, kept]),
        ]:
            trainable = getattr(module, name).requires_grad
            setattr(module, name, nn.Parameter(values.detach().clone(), trainable))
        return network


class InPlace(Breaking):
    def smaller(self, network, density, generator):
        kept = list(range(round(density * len(network[0].weight))))
        return self.cut(network, network[0], network[2], kept)


class Sharing(Breaking):
    def smaller(self, network, density, generator):
        pruned = super().smaller(network, density, generator)
        pruned[5].weight = network[5].weight
        return pruned


class Headless(Breaking):
    def smaller(self, network, density, generator):
        pruned = super().smaller(network, density, generator)
        pruned[5].weight = nn.Parameter(pruned[5].weight.detach()[:2].clone())
        pruned[5].bias = nn.Parameter(pruned[5].bias.detach()[:2].clone())
        return pruned


class Whole(Breaking):
    def smaller(self, network, density, generator):
        return copy.deepcopy(network)


class InEvalMode(Breaking):
    def smaller(self, network, density, generator):
        return super().smaller(network, density, generator).eval()


class Renaming(Breaking):
    def smaller(self, network, density, generator):
        return nn.Sequential(nn.Identity(), *super().smaller(network, density, generator))


class Unreached(Breaking):
    def smaller(self, network, density, generator):
        pruned = super().smaller(network, density, generator)
        pruned[0].spare = nn.Parameter(torch.zeros(3))
        return pruned


class Thawing(Breaking):
    def smaller(self, network, density, generator):
        return super().smaller(network, density, generator).requires_grad_(True)


class Drawing(Breaking):
    def smaller(self, network, density, generator):
        pruned = super().smaller(network, density, generator)
        nn.init.normal_(pruned[0].weight)
        return pruned


class Remembering(Breaking):
    calls = 0

    def smaller(self, network, density, generator):
        self.calls += 1
        pruned = super().smaller(network, density, generator)
        nn.init.constant_(pruned[0].weight, self.calls)
        return pruned


class Scaling(Breaking):
    def smaller(self, network, density, generator):
        pruned = super().smaller(network, density, generator)
        with torch.no_grad():
            pruned[0].weight.mul_(2)
        return pruned


class GrowingBack(Breaking):
    """Zeroes weights once."""

    def smaller(self, network, density, generator):
        network = copy.deepcopy(network)
        with torch.no_grad():
            network[2].weight.mul_(torch.rand(32, 32, generator=generator) < density)
        return network


class Hidden(Breaking):
    """Keeps a part of what it computes with where no state has it."""

    def smaller(self, network, density, generator):
        pruned = super().smaller(network, density, generator)
        scale = torch.rand(()) + 1
        pruned[5].register_forward_hook(lambda module, args, output: output * scale)
        return pruned


class Silent(Breaking):
    def prune(self, network, example_inputs, *, density, generator):
        return Pruned(self.smaller(network, density, generator), skipped=[("a", "")])


@pytest.mark.parametrize(
    ("pruner", "name", "arguments"),
    [
        (Whole, "the_network_becomes_smaller", {"density": 0.5}),
        (InPlace, "the_given_network_is_untouched", {"training": True}),
        (Sharing, "no_storage_is_shared", {"density": 0.5}),
        (Headless, "outputs_keep_their_shapes", {"density": 0.5, "training": True}),
        (InEvalMode, "the_mode_is_kept", {"training": True}),
        (Renaming, "parameters_keep_their_names", {}),
        (Silent, "what_was_skipped_is_reported", {}),
        (Unreached, "a_backward_reaches_every_parameter", {}),
        (Thawing, "frozen_parameters_stay_frozen", {}),
        (Drawing, "the_generator_is_the_only_source_of_randomness", {}),
        (Remembering, "it_has_no_state", {}),
        (Scaling, "density_1_gives_an_equal_network", {}),
        (Hidden, "it_can_be_copied_saved_and_loaded", {}),
        (GrowingBack, "it_can_be_trained_and_stays_small", {}),
    ],
)
def test_the_contract_catches_what_breaks_it(pruner, name, arguments):
    test = getattr(PrunerContract(), f"test_{name}")
    test(Breaking(), CASES["mlp"], **arguments)
    with pytest.raises(AssertionError):
        test(pruner(), CASES["mlp"], **arguments)
