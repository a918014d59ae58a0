import copy

import numpy as np
import pytest
import torch
from torch import nn

from proxyhpo._networks.fans import (
    FanRatios,
    Fans,
    fan_ratios,
    fans_of,
    masked_away,
    parameter_count,
    width_ratio,
)


def test_width_ratio_is_the_kept_fraction_of_fan_in_weighted_by_size():
    full = nn.Sequential(nn.Linear(10, 40), nn.BatchNorm1d(40), nn.Linear(40, 40), nn.Linear(40, 2))
    proxy = nn.Sequential(
        nn.Linear(10, 20), nn.BatchNorm1d(20), nn.Linear(20, 10), nn.Linear(10, 2)
    )
    sizes, kept = np.array([400, 1600, 80]), np.array([1, 0.5, 0.25])
    assert width_ratio(proxy, full) == pytest.approx((sizes * kept).sum() / sizes.sum())
    assert width_ratio(full, full) == 1


def test_width_ratio_as_the_pruner_saw_it():
    full = nn.ParameterDict({"w": torch.ones(4, 6)})
    proxy = nn.ParameterDict({"w": torch.ones(1, 3)})
    assert width_ratio(proxy, full) == 0.5
    assert width_ratio(proxy, full, {"w": (0,)}) == 0.25


def test_width_ratio_without_any_matrix():
    assert width_ratio(nn.BatchNorm1d(3), nn.BatchNorm1d(3)) == 1


def test_masks_count_by_the_weights_that_became_zero():
    full = nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 2))
    with torch.no_grad():
        full[0].weight[:, 0] = 0  # zero before: no mask
        full[0].bias.zero_()
        proxy = copy.deepcopy(full)
        proxy[0].weight[:3] = 0
    away = masked_away(proxy, full)
    assert away == {"0.weight": 9}
    assert parameter_count(full) == 24 + 6 + 12 + 2
    assert parameter_count(proxy, away) == 44 - 9
    assert width_ratio(proxy, full) == pytest.approx((24 * 0.5 + 12) / 36)


def test_weights_that_take_no_part_in_training_do_not_count_in_the_width_ratio():
    whole = {"frozen": nn.Linear(80, 4), "off": nn.Linear(80, 4)}
    full = nn.ModuleDict({"used": nn.Linear(8, 4), **whole})
    proxy = nn.ModuleDict({"used": nn.Linear(2, 4), **whole})
    full["frozen"].requires_grad_(False)
    assert width_ratio(proxy, full, unreached=["off.weight", "off.bias"]) == 0.25


def test_width_ratio_of_a_network_that_is_frozen_as_a_whole():
    full, proxy = nn.Linear(8, 4).requires_grad_(False), nn.Linear(2, 4).requires_grad_(False)
    assert width_ratio(proxy, full) == 0.25


class Older(nn.Linear):
    def named_parameters(self, prefix="", recurse=True):
        """As many libraries write it: without ``remove_duplicate``, which torch added later."""
        return super().named_parameters(prefix, recurse)


class Hiding(nn.Linear):
    def named_parameters(self, *args, **kwargs):
        return iter(())


@pytest.mark.parametrize("kind", [Older, Hiding])
def test_a_module_may_override_named_parameters(kind):
    full, proxy = (nn.Sequential(nn.Linear(4, n), kind(n, 2)) for n in (8, 2))
    assert fans_of(full)["1.weight"] == Fans(8, 2)
    assert fan_ratios(proxy, full)["1.weight"] == FanRatios(0.25, 1)


def test_a_weight_with_several_names_is_a_matrix_if_it_is_one_under_any_of_them():
    def tied(n):
        network = nn.ModuleDict({"embedding": nn.Embedding(10, n), "head": nn.Linear(n, 10)})
        network["head"].weight = network["embedding"].weight
        return network

    assert fans_of(tied(8))["embedding.weight"].fan_in is None
    assert fans_of(tied(8))["head.weight"] == Fans(8, 10)
    assert fan_ratios(tied(2), tied(8))["embedding.weight"] == FanRatios(0.25, 1)
