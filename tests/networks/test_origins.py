"""What is taken for pretrained, and what is only made by a formula."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from proxyhpo._networks.building import Builder


def mlp():
    return nn.Sequential(
        nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 6)
    )


def with_prior():
    """The bias of the last layer says how frequent the classes are."""
    network = mlp()
    network[-1].bias.data = torch.tensor([1.0, 0, 0, 0, 1, 0])
    return network


class StateSpace(nn.Module):
    """A_log as in Mamba: the logarithms of 1 to n in each row."""

    def __init__(self):
        super().__init__()
        self.A_log = nn.Parameter(torch.arange(1.0, 17).log().repeat(64, 1))
        self.inside, self.outside = nn.Linear(8, 64), nn.Linear(64, 2)


class Recurrent(nn.Module):
    """An identity for the recurrent weights, as in IRNN."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.RNN(8, 64)
        nn.init.eye_(self.rnn.weight_hh_l0)
        self.head = nn.Linear(64, 2)


class Positions(nn.Module):
    """Sinusoids that are trained further; larger than the rest of the network."""

    def __init__(self):
        super().__init__()
        angles = torch.arange(1000.0)[:, None] / 10_000 ** (torch.arange(32.0) / 32)
        self.positions = nn.Parameter(torch.cat([angles.sin(), angles.cos()], 1))
        self.first, self.second = nn.Linear(64, 64), nn.Linear(64, 64)
        self.head = nn.Linear(64, 2)


class Box(nn.Module):
    """The convolution of a detector that takes the mean of a distribution over 16 bins."""

    def __init__(self):
        super().__init__()
        self.body, self.mean = nn.Conv2d(3, 64, 3), nn.Conv2d(16, 1, 1, bias=False)
        self.mean.weight.data = torch.arange(16.0).view(1, 16, 1, 1)
        self.mean.requires_grad_(False)


@pytest.mark.parametrize(
    ("build", "inherited"),
    [
        (with_prior, {"4.bias"}),
        (StateSpace, {"A_log"}),
        (Recurrent, {"rnn.weight_hh_l0"}),
        (Positions, {"positions"}),
        (Box, {"mean.weight"}),
    ],
)
def test_a_formula_is_inherited_and_makes_no_pretrained_network(build, inherited):
    found = Builder(build).origins({})
    assert found.inherited == inherited
    assert not found.is_pretrained


def test_an_orthogonal_parametrization_is_drawn_although_its_parameters_are_not():
    def build():
        layers = [nn.Linear(16, 16) for _ in range(3)]
        for layer in layers:
            nn.utils.parametrizations.orthogonal(layer, "weight")
        return nn.Sequential(*layers)

    found = Builder(build).origins({})
    assert not found.is_pretrained
    assert not any("weight" in name for name in found.inherited)


class Tuned(nn.Module):
    """A trained body under a new head."""

    def __init__(self):
        super().__init__()
        torch_state = torch.get_rng_state()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 64))
        torch.set_rng_state(torch_state)
        self.head = nn.Linear(64, 2)


def test_a_trained_body_makes_a_pretrained_network():
    found = Builder(Tuned).origins({})
    assert found.is_pretrained
    assert {name.partition(".")[0] for name in found.inherited} == {"body"}
    entries = 8 * 64 + 64 * 64
    assert found.share == pytest.approx(entries / (entries + 2 * 64))


def test_a_generator_with_its_own_seed_looks_like_training():
    def build():
        network, generator = mlp(), torch.Generator().manual_seed(3)
        for parameter in network.parameters():
            nn.init.normal_(parameter, generator=generator)
        return network

    assert Builder(build).origins({}).is_pretrained
    assert not Builder(build, pretrained=False).origins({}).inherited


def test_trained_vectors_with_a_few_new_ones_are_inherited():
    def build():
        network = nn.Sequential(nn.Embedding(100, 8), nn.Linear(8, 2))
        trained = torch.arange(800.0).reshape(100, 8).sin()
        with torch.no_grad():
            network[0].weight[:98] = trained[:98]
        return network

    found = Builder(build).origins({})
    assert found.inherited == {"0.weight"}
    assert not found.is_pretrained  # the rest of the network is new


def test_zeros_at_the_same_places_do_not_make_weights_equal():
    def build():
        network = nn.Linear(64, 64)
        with torch.no_grad():
            network.weight[:, 8:] = 0
        return network

    assert Builder(build).origins({}).inherited == frozenset()


def test_parameters_that_take_no_part_have_no_say():
    class Distilled(nn.Module):
        def __init__(self):
            super().__init__()
            self.student = mlp()
            self.teacher = Tuned()

    builder = Builder(Distilled)
    unused = {name for name, _ in Distilled().named_parameters() if name.startswith("teacher")}
    assert builder.origins({}, unused=unused).share == 0
    assert builder.origins({}).share == pytest.approx(
        4608 / (4608 + 128 + 512 + 4096 + 384), abs=1e-6
    )


def test_large_parameters_are_compared_by_a_sample():
    def build():
        network = nn.Linear(1000, 300)
        with torch.no_grad():
            network.weight.copy_(torch.from_numpy(np.sin(np.arange(300_000.0)).reshape(300, 1000)))
        return network

    assert Builder(build).origins({}).inherited == {"weight"}
    assert math.isclose(Builder(build).origins({}).share, 1)
