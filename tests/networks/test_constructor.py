"""What a constructor that has a parameter called ``width`` is given."""

import numpy as np
import pytest
import torch
from torch import nn

from proxyhpo._networks.building import Builder
from proxyhpo._networks.constructor import told_by_signature
from proxyhpo._proxy import NetworkFactory
from proxyhpo.errors import ArgumentError
from proxyhpo.pruners import ByWidthPruner, L1StructuredPruner

SEED = np.random.SeedSequence(0)


def mlp(width):
    return nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, 2))


def test_a_width_that_counts_units_keeps_its_default():
    def build(config, width=64):
        return mlp(width * config["times"])

    made = NetworkFactory(build, L1StructuredPruner(), torch.zeros(8, 4))
    assert made.network({"times": 2}, density=1, seed=SEED)[0].out_features == 128
    assert made.network({"times": 2}, density=0.25, seed=SEED)[0].out_features == 32


def test_by_width_rejects_a_width_that_is_not_a_fraction():
    with pytest.raises(
        ArgumentError, match="default of its `width` is 64, which is not a fraction"
    ):
        NetworkFactory(lambda width=64: mlp(width), ByWidthPruner(), torch.zeros(8, 4))


def test_by_width_asks_for_the_full_network_whatever_the_default():
    def build(width=0.5):
        return mlp(round(64 * width))

    made = NetworkFactory(build, ByWidthPruner(), torch.zeros(8, 4))
    assert made.network({}, density=1, seed=SEED)[0].out_features == 64
    assert made.network({}, density=0.25, seed=SEED)[0].out_features == 16


def test_the_error_names_a_required_width():
    def build(width):
        return mlp(width * 64)

    with pytest.raises(ArgumentError, match=r"build failed for width=1: TypeError: .*float"):
        NetworkFactory(build, L1StructuredPruner(), torch.zeros(8, 4)).network(
            {}, density=1, seed=SEED
        )


def test_the_error_names_a_config_that_cannot_be_built():
    def build(config):
        assert config["d"] % config["heads"] == 0
        return nn.MultiheadAttention(config["d"], config["heads"])

    with pytest.raises(
        ArgumentError, match=r"build failed for config \{'d': 4, 'heads': 3\}: AssertionError"
    ) as caught:
        Builder(build).build({"d": 4, "heads": 3})
    assert isinstance(caught.value.__cause__, AssertionError)


def test_an_error_of_a_constructor_that_takes_nothing_is_its_own():
    def build():
        raise KeyError("weights")

    with pytest.raises(KeyError, match="weights"):
        Builder(build).build({})


def test_a_builtin_is_given_nothing():
    assert told_by_signature(dict).keywords({"a": 1}, None) == {}


def test_a_constructor_that_changes_its_options_changes_nothing():
    lengths = []

    def build(config):
        config["sizes"].insert(0, 4)
        lengths.append(len(config["sizes"]))
        return mlp(config["sizes"][-1])

    made = NetworkFactory(build, L1StructuredPruner(), torch.zeros(8, 4))
    config = {"sizes": [64, 32]}
    for density in (0.25, 1):
        made.network(config, density=density, seed=SEED)
        made.measured(config, density=density, seed=SEED)
    assert set(lengths) == {3}
    assert config == {"sizes": [64, 32]}
