import pytest
import torch
from torch import nn

from proxyhpo.errors import ArgumentError, UnsupportedNetworkError
from proxyhpo.pruners import ByWidthPruner

INPUTS = torch.zeros(2, 4)


def build(width):
    hidden = round(16 * width)
    return nn.Sequential(nn.Linear(4, hidden), nn.ReLU(), nn.Linear(hidden, 2))


def prune(pruner, density=0.5, network=None):
    generator = torch.Generator().manual_seed(1)
    return pruner.prune(network or build(1), INPUTS, density=density, generator=generator)


def test_the_constructor_makes_the_narrow_network():
    pruned = prune(ByWidthPruner(build))
    assert pruned.network[0].out_features == 8
    assert pruned.from_scratch


def test_it_can_be_given_the_constructor_later():
    pruner = ByWidthPruner()
    assert pruner.needs_constructor
    with pytest.raises(ArgumentError, match="build must take `width`"):
        prune(pruner)
    given = pruner.with_constructor(build)
    assert not given.needs_constructor
    assert prune(given).network[0].out_features == 8
    assert pruner.needs_constructor


def test_its_own_constructor_is_enough():
    assert not ByWidthPruner(build).needs_constructor


@pytest.mark.parametrize(
    ("narrow", "message"),
    [
        (lambda width: build(1), "at its full width"),
        (lambda width: nn.Sequential(nn.Linear(4, 2)), "other parameters: 2.bias, 2.weight"),
    ],
)
def test_what_cannot_stand_in_is_refused(narrow, message):
    with pytest.raises(UnsupportedNetworkError, match=message):
        prune(ByWidthPruner(narrow))


def test_full_width_must_be_the_full_network():
    with pytest.raises(UnsupportedNetworkError, match=r"build\(width=1\).*'0.weight' has"):
        prune(ByWidthPruner(lambda width: build(width / 2)), density=1)


def test_arguments():
    with pytest.raises(ArgumentError, match="build must be a function of the width, got 3"):
        ByWidthPruner(3)
    with pytest.raises(ArgumentError, match=r"density must be in \(0, 1\], got 2"):
        prune(ByWidthPruner(build), density=2)
