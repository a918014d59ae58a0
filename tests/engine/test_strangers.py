"""Plug-ins of others that do not keep their word: refused by the name of their class."""

import pytest
import torch
from torch import nn

from proxyhpo import Choice, Float, ProxyHPO
from proxyhpo.errors import ArgumentError, UnknownNameError
from proxyhpo.searchers import Searcher
from proxyhpo.transfers import Transfer

SPACE = {"lr": Float(1e-4, 1, log=True), "optimizer": Choice(["sgd", "adam"])}


def build():
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 2))


def study(trained, **options):
    def train(network, config):
        trained.append(config)
        return 0.0

    options = {"searcher": "random", "direction": "minimize", "progress": False, **options}
    return ProxyHPO(build, train, SPACE, example_inputs=torch.zeros(4, 6), proxies=True, **options)


class Fixed(Searcher):
    def __init__(self, proposed):
        self.proposed = proposed

    def propose(self, space, history, n, *, rng):
        return self.proposed


@pytest.mark.parametrize("proposed", [{"lr": 0.1, "optimizer": "sgd"}, None, iter([]), "lr", 0])
def test_a_searcher_must_return_a_list(proposed):
    with pytest.raises(TypeError, match=r"Fixed.propose must return a list of configs, got"):
        study(trained := [], searcher=Fixed(proposed)).run(2)
    assert trained == []


class Following(Transfer):
    def __init__(self, given):
        self.given = given

    def exponents(self, space, history):
        return self.given


@pytest.mark.parametrize(
    "given, error, message",
    [
        ({"lrr": -0.5}, UnknownNameError, "exponents of Following: 'lrr'; did you mean 'lr'"),
        ({"optimizer": 1.0}, ArgumentError, "Following: 'optimizer' must be a Float, a Choice of"),
        (
            {"lr": float("nan")},
            ArgumentError,
            "Following: the exponent of 'lr' must be a finite numb",
        ),
        ({"lr": "-0.5"}, ArgumentError, "Following: the exponent of 'lr' must be a finite number"),
        (None, TypeError, "Following: exponents must be a mapping of names to numbers"),
    ],
)
def test_a_transfer_is_checked_against_the_space_before_any_training(given, error, message):
    with pytest.raises(error, match=message):
        study(trained := [], transfer=Following(given)).run(2)
    assert trained == []


def test_a_list_of_rates_is_trained_at_rates_outside_of_it():
    trained = []
    space = {"lr": Choice([0.1, 0.01, 0.001]), "momentum": Float(0, 0.9)}

    def train(network, config):
        trained.append(config["lr"])
        return config["momentum"]

    options = {"direction": "minimize", "searcher": "random", "progress": False}
    options["transfer"] = "power-law"
    inputs = torch.zeros(4, 6)
    result = ProxyHPO(build, train, space, example_inputs=inputs, proxies=True, **options).run(
        3, finalists=1
    )
    assert result.openings[0].exponents == {"lr": -0.5}
    for record in result.records:
        wanted = record.config["lr"]
        if record.rung == 0:
            wanted *= result.measured[0].width_ratio ** -0.5
        assert record.trained_config["lr"] == pytest.approx(wanted)
    assert set(trained) - {0.1, 0.01, 0.001}
