from typing import Any, NamedTuple

import pytest
import torch
from torch import nn

from proxyhpo._inputs import call, check_inputs, map_tensors, with_batch
from proxyhpo.errors import ArgumentError


class Pair(NamedTuple):
    a: Any
    b: Any


class Sum(nn.Module):
    def forward(self, x, y):
        return x + 2 * y


def test_networks_are_called_by_the_kind_of_input():
    x, y = torch.ones(2, 3), torch.ones(2, 3)
    assert torch.equal(call(Sum(), (x, y)), 3 * x)
    assert torch.equal(call(Sum(), {"y": y, "x": x}), 3 * x)
    assert torch.equal(call(nn.Identity(), x), x)


@pytest.mark.parametrize("size", [1, 2, 5, 11])
def test_batches_are_cut_or_repeated(size):
    inputs = {"x": torch.arange(5), "more": (torch.zeros(5, 2), "label")}
    resized = with_batch(inputs, size)
    assert resized["x"].tolist() == [i % 5 for i in range(size)]
    assert resized["more"][0].shape == (size, 2)
    assert resized["more"][1] == "label"


def test_named_tuples_stay_named_tuples():
    mapped = map_tensors(lambda t: t + 1, Pair(torch.zeros(1), [torch.ones(1)]))
    assert isinstance(mapped, Pair)
    assert mapped.b[0].item() == 2


@pytest.mark.parametrize(
    "inputs", [3, None, "x", [torch.zeros(1)], (), {}, torch.tensor(1.0), torch.zeros(0, 3)]
)
def test_anything_but_a_batch_is_refused(inputs):
    with pytest.raises(ArgumentError, match="example_inputs"):
        check_inputs(inputs)
