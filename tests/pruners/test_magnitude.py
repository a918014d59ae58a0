"""Which weights are masked; that they stay masked is tested in test_masking.py."""

import pytest
import torch
from torch import nn

from proxyhpo.errors import ArgumentError, UnknownNameError, UnsupportedNetworkError
from proxyhpo.pruners import MagnitudePruner


def mlp():
    return nn.Sequential(
        nn.Linear(10, 40), nn.ReLU(), nn.Linear(40, 40), nn.ReLU(), nn.Linear(40, 3)
    )


def prune(network, inputs, *, density=0.3, seed=0, **options):
    generator = torch.Generator().manual_seed(seed)
    return MagnitudePruner(**options).prune(network, inputs, density=density, generator=generator)


def masked(network, inputs, **options):
    """The names of the parameters with weights at zero, when none has any before."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_((parameter == 0) * 0.01)
    pruned = prune(network, inputs, **options).network
    return {name for name, p in pruned.named_parameters() if (p == 0).any()}


@pytest.mark.parametrize("density", [0.9, 0.5, 0.1])
def test_each_matrix_keeps_its_largest_weights(density):
    network = mlp()
    pruned = prune(network, torch.zeros(2, 10), density=density).network
    for index in (0, 2):
        full, weight = network[index].weight.detach(), pruned[index].weight.detach()
        kept = weight != 0
        assert kept.sum() == round(density * full.numel())
        assert torch.equal(weight[kept], full[kept])
        assert full[kept].abs().min() >= full[~kept].abs().max()
    assert torch.equal(network[4].weight, pruned[4].weight)


def test_global_scope_compares_across_matrices():
    network = mlp()
    with torch.no_grad():
        network[0].weight.mul_(3)
    pruned = prune(network, torch.zeros(2, 10), density=0.4, scope="global").network
    kept = [float((pruned[index].weight != 0).float().mean()) for index in (0, 2)]
    assert kept[0] > 0.6
    assert 0.08 <= kept[1] < 0.4  # a fifth of the density at least
    assert sum(int(pruned[i].weight.count_nonzero()) for i in (0, 2)) == round(0.4 * 2000)


def test_global_scope_empties_no_matrix():
    network = mlp()
    with torch.no_grad():
        network[0].weight.mul_(1e-6)
    pruned = prune(network, torch.zeros(2, 10), density=0.5, scope="global").network
    assert int(pruned[0].weight.count_nonzero()) == 40


def test_a_matrix_of_zeros_is_masked_at_random():
    network = mlp()
    nn.init.zeros_(network[2].weight)
    pruned = [prune(network, torch.zeros(2, 10), seed=seed).network for seed in (1, 1, 2)]
    masks = [dict(network.named_buffers())["2.weight_proxyhpo_away"] for network in pruned]
    assert int((~masks[0]).sum()) == round(0.3 * 1600)
    assert torch.equal(masks[0], masks[1])
    assert not torch.equal(masks[0], masks[2])


class TwoHeads(nn.Module):
    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(20, 8)
        self.body = nn.Linear(8, 8)
        self.scale = nn.Parameter(torch.rand(8, 1))
        self.norm = nn.LayerNorm(8)
        self.one = nn.Linear(8, 4)
        self.other = nn.Linear(8, 5)

    def forward(self, x):
        x = self.norm(self.body(self.words(x)).relu().mean(1)) * self.scale.T
        return {"one": self.one(x).softmax(-1), "other": (self.other(x), None)}


class Residual(nn.Module):
    """Two layers reach the output through no other one."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, padding=1)
        self.inner = nn.Conv2d(6, 6, 1)
        self.branch = nn.Conv2d(6, 6, 1)

    def forward(self, x):
        x = self.stem(x)
        return x + self.branch(self.inner(x).relu())


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(4, 6, batch_first=True)
        self.head = nn.Linear(6, 2)

    def forward(self, x):
        return self.head(self.lstm(x)[0][:, -1])


class LooksAtValues(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(4, 4)
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        x = self.body(x)
        return self.head(x if x.sum() > 0 else x.relu())


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(20, 8)
        self.body = nn.Linear(8, 8)
        self.head = nn.Linear(8, 20, bias=False)
        self.head.weight = self.words.weight

    def forward(self, x):
        return self.head(self.body(self.words(x)).relu())


def tokens():
    return torch.arange(12).reshape(3, 4)


@pytest.mark.parametrize(
    ("make", "inputs", "expected"),
    [
        (TwoHeads, tokens(), {"body.weight", "scale"}),
        (Residual, torch.rand(2, 3, 5, 5), {"inner.weight"}),
        (Recurrent, torch.rand(2, 3, 4), {"lstm.weight_ih_l0", "lstm.weight_hh_l0"}),
        (LooksAtValues, torch.rand(2, 4), {"body.weight"}),
        (Tied, tokens(), {"body.weight"}),
    ],
)
def test_heads_embeddings_and_vectors_are_not_masked(make, inputs, expected):
    assert masked(make(), inputs) == expected


def test_a_frozen_head_is_a_head():
    network = mlp()
    network[4].requires_grad_(False)
    assert masked(network, torch.zeros(2, 10)) == {"0.weight", "2.weight"}


def test_what_is_not_masked_is_reported():
    assert prune(mlp(), torch.zeros(2, 10)).skipped == [("4.weight", "head")]


def test_nothing_to_mask_is_refused():
    with pytest.raises(UnsupportedNetworkError, match="no weight matrix besides its head"):
        prune(nn.Sequential(nn.Linear(10, 3)), torch.zeros(2, 10))


def test_a_network_that_does_not_run_is_refused():
    with pytest.raises(UnsupportedNetworkError, match="failed on example_inputs"):
        prune(mlp(), torch.zeros(2, 11))


def test_arguments():
    with pytest.raises(UnknownNameError, match="did you mean 'layer'"):
        MagnitudePruner(scope="layers")
    with pytest.raises(ArgumentError, match=r"density must be in \(0, 1\], got 0"):
        prune(mlp(), torch.zeros(2, 10), density=0)
