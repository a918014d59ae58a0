import pytest
import torch
from torch import nn

from proxyhpo.errors import ArgumentError
from proxyhpo.pruners import L1StructuredPruner, RandomPruner, StructuredPruner


@pytest.mark.parametrize("pruner", [L1StructuredPruner, RandomPruner])
@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"ignore": "head"}, "ignore .*'head'"),
        ({"ignore": [1]}, "ignore"),
        ({"ignore": None}, "ignore"),
        ({"round_to": 0}, "round_to .*>= 1"),
        ({"round_to": 2.0}, "round_to"),
        ({"round_to": True}, "round_to"),
    ],
)
def test_settings_are_checked_when_given(pruner, settings, named):
    with pytest.raises(ArgumentError, match=named):
        pruner(**settings)


class LastPruner(StructuredPruner):
    def score(self, slices, *, generator):
        return torch.arange(float(len(slices[0])))


def test_the_channels_with_the_highest_scores_stay():
    network = nn.Sequential(nn.Linear(4, 8, bias=False), nn.ReLU(), nn.Linear(8, 3))
    pruner = LastPruner(ignore=["2.bias"], round_to=1)
    pruned = pruner.prune(network, torch.randn(4, 4), density=0.5, generator=torch.Generator())
    assert torch.equal(pruned.network[0].weight, network[0].weight[4:])
    assert torch.equal(pruned.network[2].weight, network[2].weight[:, 4:])
    assert pruned.contracted == {"0.weight": (1,), "2.weight": (1,), "2.bias": ()}


def test_a_score_is_all_that_a_subclass_needs():
    with pytest.raises(TypeError, match=r"abstract.*score"):
        StructuredPruner()
