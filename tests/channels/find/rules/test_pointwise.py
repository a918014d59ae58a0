from functools import partial

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tests.channels.find.rules.seen import Seen


@pytest.mark.parametrize(
    "function",
    [
        lambda x, a, b: a + b,
        lambda x, a, b: torch.where(a > b, a, b),
        lambda x, a, b: torch.lerp(a, b, 0.5),
        lambda x, a, b: torch.maximum(a, b),
        lambda x, a, b: a.detach().clone().mul_(b),
        lambda x, a, b: torch.max(b, a),
        lambda x, a, b: torch.mul(a, b, out=torch.empty(4, 6)),
        lambda x, a, b: a.masked_fill(b > 0.5, 0.0),
    ],
)
def test_pointwise_joins_equal_positions(function):
    seen = Seen(function, a=(4, 6), b=(4, 6))
    for axis in (0, 1):
        assert seen.same(seen.owned["a"][axis], seen.owned["b"][axis])
        assert seen.same(seen.owned["a"][axis], seen.dims()[axis])


def test_pointwise_does_not_join_what_is_stretched():
    seen = Seen(lambda x, a, b: a * b, a=(4, 6), b=(1, 6))
    assert seen.same(seen.owned["a"][1], seen.owned["b"][1])
    assert seen.count(seen.dims()[0]) == 4


def test_pointwise_with_an_input_protects():
    seen = Seen(lambda x, a: x + a, a=(2, 3))
    assert seen.kept(seen.owned["a"][0])
    assert seen.kept(seen.owned["a"][1])


@pytest.mark.parametrize(
    "function",
    [
        *(F.gelu, F.hardswish, F.silu, F.dropout, F.elu, F.softplus, F.mish, F.relu6),
        torch.sigmoid,
        *(partial(f, dim=1) for f in (torch.softmax, torch.log_softmax, torch.cumsum)),
    ],
)
def test_activations_and_what_works_along_channels_pass(function):
    seen = Seen(lambda x, a: function(a), a=(4, 6))
    assert seen.same(seen.dims()[1], seen.owned["a"][1])


def test_prelu_joins_its_slopes():
    seen = Seen(lambda x, a, s: F.prelu(a, s), a=(2, 6, 3), s=(6,))
    assert seen.same(seen.owned["a"][1], seen.owned["s"][0])


def test_glu_joins_its_halves():
    seen = Seen(lambda x, a: F.glu(a, 1), a=(4, 6))
    left, right = np.split(seen.owned["a"][1], 2)
    assert seen.same(left, right)
    assert seen.same(left, seen.dims()[1])


def test_a_loss_compares_position_by_position():
    seen = Seen(lambda x, a, b: F.mse_loss(a, b), a=(4, 6), b=(4, 6))
    assert seen.same(seen.owned["a"][1], seen.owned["b"][1])
    assert seen.dims() == []
