import torch
from torch import nn

from proxyhpo.pruners import L1StructuredPruner, RandomPruner

INPUTS = torch.rand(2, 4)


def build():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 3)
    )


def prune(pruner, seed):
    generator = torch.Generator().manual_seed(seed)
    return pruner.prune(build(), INPUTS, density=0.5, generator=generator).network


def test_it_keeps_as_many_as_by_magnitude_and_others():
    chance, magnitude = prune(RandomPruner(), 0), prune(L1StructuredPruner(), 0)
    for one, other in zip(chance.parameters(), magnitude.parameters(), strict=True):
        assert one.shape == other.shape
    assert not torch.equal(chance[0].weight, magnitude[0].weight)


def test_the_generator_decides():
    pruner = RandomPruner()
    first = prune(pruner, 0)
    assert torch.equal(first[0].weight, prune(pruner, 0)[0].weight)
    assert not torch.equal(first[0].weight, prune(pruner, 1)[0].weight)


def test_every_channel_may_stay():
    full, pruner = build()[0].weight.tolist(), RandomPruner()
    kept = [row for seed in range(12) for row in prune(pruner, seed)[0].weight.tolist()]
    assert len({full.index(row) for row in kept}) > 60
