import torch
from torch import nn

from proxyhpo.pruners import L1StructuredPruner

INPUTS = torch.rand(2, 4)


def prune(pruner, network, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return pruner.prune(network, INPUTS, density=0.5, generator=generator)


def build():
    return nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 3))


def test_the_largest_channels_stay_counting_all_that_goes_with_them():
    network = build()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(0.01)
        network[0].weight[:4] = 1.0  # large where they come in
        network[2].weight[:, 12:] = 1.0  # large where they go out
        network[0].bias[4:8] = 0.5  # larger than nothing
    small = prune(L1StructuredPruner(), network).network
    kept = [0, 1, 2, 3, 12, 13, 14, 15]
    assert torch.equal(small[0].weight, network[0].weight[kept])
    assert torch.equal(small[0].bias, network[0].bias[kept])


def test_chance_has_no_part_in_it():
    network = build()
    one, other = (prune(L1StructuredPruner(), network, seed).network for seed in (0, 1))
    for left, right in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(left, right)


def test_settings():
    small = prune(L1StructuredPruner(ignore=["4"], round_to=1), build())
    assert small.network[2].weight.shape == (8, 8)
    assert small.network[4].weight.shape == (3, 8)
    assert any("4.weight" in name for name, _ in small.skipped)
    weights = ("0.weight", "2.weight", "4.weight")
    biases = ("0.bias", "2.bias", "4.bias")
    assert small.contracted == dict.fromkeys(weights, (1,)) | dict.fromkeys(biases, ())
