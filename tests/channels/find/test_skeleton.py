"""Copies that may be spoilt: nothing that is written to one reaches the original."""

import numpy as np
import pytest
import torch
from torch import nn

from proxyhpo import inspect
from proxyhpo.channels.find.skeleton import spare

TENSORS = {
    "torch's own": lambda: torch.arange(6.0),
    "a view": lambda: torch.arange(12.0).reshape(3, 4).T[1:, :2],
    "a NumPy array's": lambda: torch.from_numpy(np.arange(6.0)),
    "sparse": lambda: torch.eye(3).to_sparse(),
}


@pytest.mark.parametrize("name", TENSORS)
def test_a_spare_tensor_is_equal_and_shares_nothing_that_is_written(name):
    tensor = TENSORS[name]()
    before = tensor.to_dense().clone()
    copy = spare(tensor)
    assert torch.equal(copy.to_dense(), before)
    copy.mul_(2)
    assert torch.equal(tensor.to_dense(), before)
    assert torch.equal(copy.to_dense(), 2 * before)


def test_a_batch_and_weights_in_numpy_memory_can_be_traced():
    network = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 2))
    weight = np.random.default_rng(0).normal(size=(32, 6)).astype("float32")
    network[0].weight = nn.Parameter(torch.from_numpy(weight))
    batch = torch.from_numpy(np.ones((8, 6), dtype="float32"))
    assert inspect(network, batch, pretrained=False, density=0.5)
    assert (weight == network[0].weight.numpy(force=True)).all()
