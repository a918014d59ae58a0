"""Sizes that a forward only calculates with follow the width of the network."""

import math

import pytest
import torch
from torch import nn

from proxyhpo.channels import shrink
from tests.channels.zoo import l1

X = torch.randn(4, 5, 8)


class Attention(nn.Module):
    """``self.d`` is in no shape: the products make the scores whatever it is."""

    def __init__(self, scale, d=64):
        super().__init__()
        self.d, self.scale = d, scale
        self.query, self.key, self.value = (nn.Linear(8, d) for _ in range(3))
        self.head = nn.Linear(d, 2)

    def forward(self, x):
        q, k, v = self.query(x), self.key(x), self.value(x)
        return self.head(self.scale(self, q @ k.mT).softmax(-1) @ v)


SCALES = [
    lambda self, scores: scores / self.d**0.5,
    lambda self, scores: scores * self.d**-0.5,
    lambda self, scores: scores / math.sqrt(self.d),
    lambda self, scores: scores / self.d,
    lambda self, scores: scores * (1 / self.d),
    lambda self, scores: scores + math.log(self.d),
]


@pytest.mark.parametrize("scale", SCALES)
def test_a_scale_that_is_computed_in_the_forward_follows(scale):
    small = shrink(Attention(scale), X, density=0.25, score=l1).network
    assert small.query.out_features == 16
    assert small.d == 16


def test_a_number_that_equals_a_width_but_is_not_used_in_arithmetic_is_kept():
    network = Attention(lambda self, scores: scores / 8.5)
    network.longest = 64
    small = shrink(network, X, density=0.25, score=l1).network
    assert (small.d, small.longest) == (64, 64)


class Config:
    def __init__(self):
        self.hidden, self.tokens = 64, 5


def test_a_size_in_a_config_follows_and_others_do_not():
    class Mean(nn.Module):
        def __init__(self):
            super().__init__()
            self.config = Config()
            self.body, self.head = nn.Linear(8, 64), nn.Linear(64, 2)

        def forward(self, x):
            x = self.body(x).relu()
            x = x - x.sum(-1, keepdim=True) / self.config.hidden
            return self.head(x.sum(1) / self.config.tokens)

    small = shrink(Mean(), X, density=0.25, score=l1).network
    assert (small.config.hidden, small.config.tokens) == (16, 5)
