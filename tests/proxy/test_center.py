"""Spaces of which some configs make no network."""

import pytest
import torch
from torch import nn

from proxyhpo import Choice, Float, ProxyHPO, Space
from proxyhpo._proxy.center import first_that_runs
from proxyhpo.errors import ArgumentError

SPACE = {"lr": Float(1e-3, 1, log=True), "d": Choice([32, 64]), "heads": Choice([2, 3])}


def build(config):
    assert config["d"] % config["heads"] == 0, "d must be divisible by heads"
    return nn.Sequential(nn.Linear(8, config["d"]), nn.ReLU(), nn.Linear(config["d"], 1))


def test_another_config_is_measured_and_the_trials_that_make_no_network_fail():
    hpo = ProxyHPO(
        build,
        lambda network, config: config["lr"],
        SPACE,
        example_inputs=torch.randn(16, 8),
        direction="minimize",
        transfer="identity",
        searcher="random",
        density=0.25,
        progress=False,
    )
    assert hpo.run(8).best_config["heads"] == 2
    failed = hpo.result.failures
    assert failed
    assert all(record.config["heads"] == 3 for record in failed)
    assert all("build failed for config" in record.reason for record in failed)
    assert all("d must be divisible by heads" in record.reason for record in failed)


def test_the_centre_is_taken_where_it_works():
    space = Space(SPACE)
    assert first_that_runs(space, lambda config: None) == space.center()


def test_where_no_config_makes_a_network_the_error_is_that_of_the_centre():
    def attempt(config):
        raise ArgumentError(f"build failed for lr {config['lr']}")

    with pytest.raises(ArgumentError, match=r"build failed for lr 0\.0316"):
        first_that_runs(Space(SPACE), attempt)


def test_another_config_is_used_if_the_centre_fails():
    def build_wrong(config):
        width = 8 if config["heads"] == 2 else 9
        return nn.Linear(width, 1)

    hpo = ProxyHPO(
        build_wrong,
        lambda network, config: config["lr"],
        SPACE,
        example_inputs=torch.randn(16, 8),
        direction="minimize",
        transfer="identity",
        ladder=None,
        density=0.5,
    )
    assert hpo is not None
