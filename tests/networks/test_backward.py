"""Backward passes are counted whatever training code does to the network."""

import copy
import pickle

import pytest
import torch
from torch import nn

from proxyhpo._networks.backward import BackwardCount


def network():
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))


def step(network):
    network(torch.ones(2, 3)).sum().backward()


def test_each_of_several_passes_to_an_optimizer_step_counts():
    counted = network()
    count = BackwardCount(counted)
    assert count.passes is None
    optimizer = torch.optim.SGD(counted.parameters())
    for _ in range(2):
        for _ in range(3):
            step(counted)
        with torch.no_grad():
            counted(torch.ones(2, 3))
        optimizer.step()
        optimizer.zero_grad()
    assert count.passes == 6


@pytest.mark.parametrize("frozen", [0, 2])
def test_a_part_may_be_frozen_after_the_count_has_begun(frozen):
    counted = network()
    count = BackwardCount(counted)
    counted[frozen].requires_grad_(requires_grad=False)
    step(counted)
    assert count.passes == 1


def test_submodules_and_conversions_are_followed_and_copies_are_not():
    counted = network()
    count = BackwardCount(counted)
    counted[2](counted[0].double()(torch.ones(2, 3, dtype=torch.double)).float()).sum().backward()
    assert count.passes == 1
    for copied in (copy.deepcopy(counted).float(), pickle.loads(pickle.dumps(counted.float()))):
        step(copied)
    assert count.passes == 1


def test_nothing_is_left_on_the_network():
    counted = network()
    count = BackwardCount(counted)
    assert any(p._post_accumulate_grad_hooks for p in counted.parameters())
    count.stop()
    count.stop()
    assert not any(p._post_accumulate_grad_hooks for p in counted.parameters())


@pytest.mark.parametrize("untrained", [nn.Identity(), nn.LazyLinear(3)])
def test_networks_without_parameters_so_far_have_no_count(untrained):
    assert BackwardCount(untrained).passes is None
