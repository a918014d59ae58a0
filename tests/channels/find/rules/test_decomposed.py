"""Layers that torch takes apart into several operators, each with its rule."""

import numpy as np
import torch
from torch.nn import functional as F

from tests.channels.find.rules.seen import Seen


def test_an_lstm_is_taken_apart_and_its_gates_lose_the_same():
    def function(x, i, h):
        zeros = torch.zeros(1, 2, 4)
        return torch.lstm(x, (zeros, zeros), [i, h], False, 1, 0.0, True, False, False)[0]

    seen = Seen(function, x=(3, 2, 5), i=(16, 5), h=(16, 4))
    for gate in np.split(seen.owned["i"][0], 4):
        assert seen.same(gate, seen.owned["h"][1])
    assert seen.same(seen.dims()[2], seen.owned["h"][1])


def test_attention_is_taken_apart_and_heads_become_narrower():
    def function(x, w):
        q, k, v = (x @ w).view(2, 3, 3, 2, 4).permute(2, 0, 3, 1, 4)
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)

    seen = Seen(function, x=(2, 3, 5), w=(5, 24))
    assert seen.count(seen.owned["w"][1]) == 4
    assert seen.same(seen.dims()[2], np.tile(seen.owned["w"][1][:4], 2))
