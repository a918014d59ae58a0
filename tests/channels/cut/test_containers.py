"""Tensors that a module keeps in lists, tuples and dicts."""

import torch
from torch import nn

from proxyhpo.channels import shrink
from tests.channels.zoo import l1

TOKENS = torch.rand(4, 6, 16)


class InContainers(nn.Module):
    """Multiplies by plain tensors in a list, a tuple and a dict."""

    def __init__(self):
        super().__init__()
        self.stem, self.head = nn.Linear(16, 32), nn.Linear(32, 5)
        self.masks = [torch.ones(32), torch.ones(32)]
        self.weights = {"inner": torch.randn(32, 32, requires_grad=True)}
        self.shifts = (torch.zeros(32),)

    def forward(self, x):
        x = self.stem(x) * self.masks[0] * self.masks[1]
        return self.head((x @ self.weights["inner"] + self.shifts[0]).relu())


def test_tensors_in_containers_are_pruned_with_the_layers():
    network = InContainers()
    smaller = shrink(network, TOKENS, density=0.5, score=l1).network
    assert [len(mask) for mask in smaller.masks] == [16, 16]
    assert smaller.weights["inner"].shape == (16, 16)
    assert smaller.weights["inner"].requires_grad
    assert len(smaller.shifts[0]) == 16
    assert smaller(TOKENS).shape == (4, 6, 5)
    assert network.weights["inner"].shape == (32, 32)


def test_a_network_of_plain_tensors_alone_is_pruned():
    class Plain(nn.Module):
        def __init__(self):
            super().__init__()
            self.weights = [torch.randn(16, 32), torch.randn(32, 5)]

        def forward(self, x):
            return (x @ self.weights[0]).relu() @ self.weights[1]

    smaller = shrink(Plain(), TOKENS, density=0.5, score=l1).network
    assert [weight.shape for weight in smaller.weights] == [(16, 16), (16, 5)]
