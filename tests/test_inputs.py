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


def test_packed_sequences_are_refused_with_the_way_out():
    packed = nn.utils.rnn.pack_sequence([torch.rand(5, 3), torch.rand(4, 3)])
    for inputs in (packed, (packed,), {"x": packed}):
        with pytest.raises(ArgumentError, match="pack_padded_sequence in forward"):
            check_inputs(inputs)


@pytest.mark.parametrize(
    "tensor, kind",
    [
        (torch.eye(6).to_sparse(), "sparse"),
        (torch.nested.nested_tensor([torch.rand(3, 4)], layout=torch.jagged), "nested"),
    ],
)
def test_sparse_and_nested_inputs_are_refused_with_the_way_out(tensor, kind):
    x = torch.rand(4, 6, 16)
    for inputs in (tensor, (x, tensor), {"x": x, "adjacency": tensor}):
        with pytest.raises(ArgumentError, match=f"contains a {kind} tensor .*register it as a buf"):
            check_inputs(inputs)
