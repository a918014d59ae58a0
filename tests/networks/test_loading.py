"""What a training left can be had, also where it changed the network a little."""

import pytest
import torch
from torch import nn

from proxyhpo import Float, ProxyHPO
from proxyhpo._networks.loading import load
from proxyhpo.errors import StoreError

X = torch.randn(16, 8)


class Counts(nn.Module):
    """Its extra state is a mapping, and its forward registers a buffer."""

    def __init__(self):
        super().__init__()
        self.body, self.head, self.steps = nn.Linear(8, 64), nn.Linear(64, 1), 0

    def forward(self, x):
        if not hasattr(self, "mask"):
            self.register_buffer("mask", torch.ones(8))
        self.steps += 1
        return self.head(self.body(x * self.mask).relu())

    def get_extra_state(self):
        return {"steps": self.steps}

    def set_extra_state(self, state):
        self.steps = state["steps"]


def searched(build, train):
    return ProxyHPO(
        build,
        train,
        {"lr": Float(1e-3, 1, log=True)},
        example_inputs=X,
        direction="minimize",
        transfer="identity",
        density=0.25,
        progress=False,
    ).run(2)


def test_extra_state_and_buffers_that_a_forward_makes_are_no_hindrance(caplog):
    def train(network, config):
        network(X)
        network.mask.fill_(2)
        network.head.bias.data.fill_(7)
        return config["lr"]

    network = searched(Counts, train).best_network()
    assert network.head.bias.item() == 7
    assert network.mask.tolist() == [2] * 8
    assert "the extra state of the network is not a tensor" in caplog.text


def mlp():
    return nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 1))


def test_another_network_is_refused_and_its_weights_can_be_had():
    def train(network, config):
        network[-1] = nn.Linear(network[-1].in_features, 5)
        return config["lr"]

    result = searched(mlp, train)
    with pytest.raises(StoreError, match=r"best_weights\(\) returns them as they are"):
        result.best_network()
    assert result.best_weights()["2.weight"].shape == (5, 64)
    other = mlp()
    other[-1] = nn.Linear(64, 5)
    assert torch.equal(result.best_network(other)[-1].weight, result.best_weights()["2.weight"])


def test_a_parametrization_that_was_removed_is_named():
    network = nn.utils.parametrizations.weight_norm(nn.Linear(8, 2))
    with pytest.raises(RuntimeError, match=r"missing: \['parametrizations.weight.original0'"):
        load(network, nn.Linear(8, 2).state_dict())


def test_names_without_a_place_are_named():
    with pytest.raises(RuntimeError, match=r"unexpected: \['other.weight'\]"):
        load(mlp(), {**mlp().state_dict(), "other.weight": torch.ones(1)})
