"""Where the architecture depends on the config, each proxy's own width decides its transfer."""

import pytest
import torch
from torch import nn

from proxyhpo import Choice, Float, ProxyHPO
from proxyhpo.searchers import GridSearcher


def of_width(config):
    h = config["h"]
    return nn.Sequential(nn.Linear(6, h), nn.ReLU(), nn.Linear(h, h), nn.ReLU(), nn.Linear(h, 2))


def train(network, config):
    return config["lr"]


def searched(build, **options):
    space = {"lr": Float(1e-3, 1e-1, log=True), "h": Choice([8, 512])}
    return ProxyHPO(
        build, train, space,
        example_inputs=torch.zeros(8, 6), direction="minimize", progress=False,
        density=0.25, transfer="power-law", searcher=GridSearcher(values={"lr": [0.01]}), **options,
    )  # fmt: skip


def factors(result):
    return {
        record.config["h"]: record.trained_config["lr"] / record.config["lr"]
        for record in result.records
        if record.rung == 0
    }


def ratio(h, kept):
    sizes, shares = [6 * h, h * h, 2 * h], [1, kept, kept]
    return sum(s * f for s, f in zip(sizes, shares, strict=True)) / sum(sizes)


def test_each_config_is_corrected_for_its_own_network():
    found = factors(searched(of_width).run(2))
    assert found[8] == pytest.approx(ratio(8, 0.25) ** -0.5)
    assert found[512] == pytest.approx(ratio(512, 0.25) ** -0.5)
    assert found[512] / found[8] > 1.2


def test_one_network_for_all_has_one_factor():
    found = factors(searched(lambda: of_width({"h": 64})).run(2))
    assert found[8] == found[512] == pytest.approx(ratio(64, 0.25) ** -0.5)


def test_a_network_that_cannot_be_built_is_a_failed_training():
    def build(config):
        if config["h"] == 8:  # not that of the centre of the space, which is built at once
            raise ValueError("too narrow")
        return of_width(config)

    result = searched(build, finalists=1).run(2)
    (failed,) = result.failures
    assert failed.reason.startswith("ArgumentError: build failed for config {'lr': ")
    assert failed.reason.endswith("ValueError: too narrow")
    assert result.best_config["h"] == 512
