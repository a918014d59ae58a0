"""Tensors that a forward makes take on the sizes of what they meet."""

import pytest
import torch
from torch import nn

from proxyhpo.channels import shrink
from tests.channels.find.rules.seen import Seen
from tests.channels.zoo import l1


class Noisy(nn.Module):
    """Adds something that it makes to its channels."""

    def __init__(self, make):
        super().__init__()
        self.first, self.second = nn.Linear(16, 32), nn.Linear(32, 5)
        self.make = make

    def forward(self, x):
        x = self.first(x)
        return self.second(x + self.make(x.shape[1]))


@pytest.mark.parametrize(
    "make",
    [
        lambda n: torch.normal(0.0, 1.0, (n,)),
        torch.randn,
        torch.kaiser_window,
        lambda n: torch.arange(n, out=torch.empty(n)),
        lambda n: torch.ones(2, 2).new_full((n,), 0.5),
    ],
    ids=["normal", "randn", "kaiser_window", "arange_out", "new_full"],
)
def test_what_is_made_without_tensors_is_as_large_as_what_it_meets(make):
    network = Noisy(make)
    shrunk = shrink(network, torch.randn(4, 16), density=0.5, score=l1)
    assert shrunk.network.first.out_features == 16
    assert shrunk.network(torch.randn(4, 16)).shape == (4, 5)
    assert not shrunk.skipped


def test_what_is_made_takes_on_what_it_meets():
    seen = Seen(lambda x, a: torch.cat([a.new_zeros(2, 4), a]).sum(0), a=(3, 4))
    assert seen.same(seen.dims()[0], seen.owned["a"][1])
    seen = Seen(lambda x, a: torch.zeros_like(a), a=(3, 4))
    assert seen.same(seen.dims()[1], seen.owned["a"][1])
