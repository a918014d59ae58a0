"""How many channels stay, and when another plan is made."""

import pickle

import numpy as np
import pytest
import torch
from torch import nn

from proxyhpo.channels import Group, find_groups, remove, shrink
from proxyhpo.channels.cut.slicing import Slices, chosen, kept_indices
from proxyhpo.errors import ArgumentError


def l1(slices):
    return torch.stack([part.abs().sum(1) for part in slices]).sum(0)


class Attention(nn.Module):
    def __init__(self, d, heads):
        super().__init__()
        self.heads, self.qkv, self.out = heads, nn.Linear(d, 3 * d), nn.Linear(d, d)

    def forward(self, x):
        n, t, d = x.shape
        q, k, v = self.qkv(x).view(n, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        y = nn.functional.scaled_dot_product_attention(q, k, v)
        return x + self.out(y.transpose(1, 2).reshape(n, t, d))


def transformer(d, *heads):
    blocks = [Attention(d, h) for h in heads]
    return nn.Sequential(nn.Linear(4, d), *blocks, nn.Linear(d, 3))


TOKENS = torch.rand(2, 5, 4)


@pytest.mark.parametrize("density", [0.25, 0.3, 0.4, 0.5, 0.7])
def test_square_weights_stay_square(density):
    made = shrink(transformer(48, 4, 2), TOKENS, density=density, score=l1)
    assert not made.skipped
    rows, columns = made.network[1].out.weight.shape
    assert rows == columns < 48


# Slicing.


def test_the_highest_scores_stay_and_of_equal_ones_the_first():
    assert chosen(torch.tensor([0.1, 3.0, 3.0, 2.0, 3.0]), 3) == [1, 2, 4]
    assert chosen(torch.ones(4), 2) == [0, 1]


def test_a_score_sees_one_row_a_class_for_each_parameter_and_dimension():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 2))
    [group], _ = find_groups(network, torch.rand(2, 3, 4, 4))
    tensors = dict(network.named_parameters()) | dict(network.named_buffers())
    slices = Slices(group, tensors)
    assert [tuple(part.shape) for part in slices] == [(4, 27), (4, 1), (4, 1), (4, 1), (4, 8)]
    assert torch.equal(slices[0][2], network[0].weight[2].ravel())
    assert torch.equal(slices[4][2], network[3].weight[:, 8:12].T.ravel())
    assert len(slices[:2]) == len([slices[0], slices[1]])


def test_what_stays_is_what_no_group_removes():
    one = Group({("a", 0): np.array([[0], [2]]), ("b", 1): np.array([[0, 1], [2, 3]])})
    other = Group({("a", 0): np.array([[1], [3]])})
    kept = kept_indices([(one, [0]), (other, [1])], {"a": (4,), "b": (1, 5)})
    assert kept["a", 0].tolist() == [0, 3]
    assert kept["b", 1].tolist() == [0, 1, 4]


def test_channels_last_weights_stay_channels_last():
    network = nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 2, 3))
    network = network.to(memory_format=torch.channels_last)
    small = shrink(network, torch.rand(2, 3, 8, 8), density=0.5, score=l1).network
    assert small[2].weight.shape[1] == 8
    assert small[2].weight.is_contiguous(memory_format=torch.channels_last)


# Plans.


def counted(network):
    network.register_forward_pre_hook(count)
    return network


def count(module, _):
    Calls.total += 1


class Calls:
    total = 0


def mlp(width=32):
    return counted(nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, 3)))


def test_tracing_happens_once_for_a_structure_and_a_plan_can_be_sent():
    plans, inputs = {}, torch.rand(2, 4)
    shrink(mlp(), inputs, density=0.5, score=l1, plans=plans)
    Calls.total = 0
    sent = pickle.loads(pickle.dumps(plans))
    for seed in range(3):
        torch.manual_seed(seed)
        small = shrink(mlp(), inputs, density=0.5, score=l1, plans=sent).network
        assert small[0].out_features == 16
    assert Calls.total == 0
    shrink(mlp(), inputs, density=0.25, score=l1, plans=sent)
    assert Calls.total > 0


def test_a_plan_is_not_used_for_another_meaning_of_the_same_shapes():
    plans = {}
    for heads in (4, 2):
        made = shrink(transformer(48, heads), TOKENS, density=0.5, score=l1, plans=plans)
        fresh = shrink(transformer(48, heads), TOKENS, density=0.5, score=l1)
        assert made.network[1].out.weight.shape == fresh.network[1].out.weight.shape
        assert not made.skipped
    assert len(plans) == 2


def test_each_trial_is_scored_by_its_own_weights():
    plans, inputs = {}, torch.rand(2, 4)
    for best in (0, 20):
        network = mlp()
        with torch.no_grad():
            network[0].weight.fill_(0.1)
            network[0].weight[best : best + 8] = 5.0
        small = shrink(network, inputs, density=0.25, score=l1, plans=plans).network
        assert torch.equal(small[0].weight, network[0].weight[best : best + 8])
        assert torch.equal(small[2].weight, network[2].weight[:, best : best + 8])


def test_a_score_of_the_wrong_shape_is_refused():
    with pytest.raises(ArgumentError, match=r"score.*32 classes.*\(2,\)"):
        shrink(mlp(), torch.rand(2, 4), density=0.5, score=lambda slices: torch.ones(2))


@pytest.mark.parametrize("kept", [[], [-1], [32]])
def test_classes_that_a_group_does_not_have_are_refused(kept):
    network, inputs = mlp(), torch.rand(2, 4)
    [group], _ = find_groups(network, inputs)
    with pytest.raises(ArgumentError, match=r"kept .*indices from 0 to 31 for Group.*got \["):
        remove(network, [(group, kept)], inputs)


def test_round_to_must_be_a_whole_number():
    with pytest.raises(ArgumentError, match="round_to"):
        shrink(mlp(), torch.rand(2, 4), density=0.5, score=l1, round_to=0)


def test_what_is_protected_is_named_with_its_reason():
    groups, protected = find_groups(mlp(), torch.rand(2, 4))
    assert [group.n for group in groups] == [32]
    assert repr(groups[0]) == "Group(32 classes of 0.weight, 0.bias, 2.weight)"
    assert dict(protected) == {
        "0.weight": "its size comes from the inputs",
        "2.weight": "its size is the size of an output",
        "2.bias": "its size is the size of an output",
    }


class Remembering(nn.Module):
    """A table of which the inputs reach only a part, and attention without biases."""

    def __init__(self):
        super().__init__()
        self.place = nn.Parameter(torch.rand(9, 16))
        self.stem, self.pair = nn.Linear(4, 16), nn.Linear(16, 32, bias=False)
        self.head = nn.Linear(5, 3)

    def forward(self, x):
        x = self.stem(x) + self.place[: x.shape[1]]
        q, k = self.pair(x).chunk(2, -1)
        return self.head(q @ k.mT)


def test_positions_that_are_not_reached_stay_and_channels_without_a_bias_go():
    small = shrink(Remembering(), TOKENS, density=0.5, score=l1).network
    assert small.place.shape == (9, 8)
    assert small.pair.weight.shape == (16, 8)
