import copy

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from proxyhpo._networks.counting import forward


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        return self.head(self.attention(x, x, x, need_weights=False)[0])


class LooksAtValues(nn.Module):
    """Data-dependent, so that it cannot run on the meta device; and recurrent."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(5)
        self.lstm = nn.LSTM(4, 6, batch_first=True)

    def forward(self, x):
        x = self.norm(x)
        return self.lstm(x if x.sum().item() > 0 else -x)[0]


LINEAR = 2 * 32 * 10 * 7
CONV = 2 * 4 * 6 * 3 * 9 * 8 * 8
LSTM = 2 * 2 * 5 * (4 * 6) * (4 + 6)  # batch 2, 5 steps
# in and out projections; queries x keys and weights x values, over 2 heads of 4
ATTENTION = 2 * 2 * 5 * (8 * 24 + 8 * 8) + 2 * (2 * 2 * 2 * 5 * 5 * 4) + 2 * 2 * 5 * 8 * 3


@pytest.mark.parametrize(
    ("network", "inputs", "expected"),
    [
        (nn.Linear(10, 7), torch.zeros(32, 10), LINEAR),
        (nn.Conv2d(3, 6, 3, padding=1), torch.zeros(4, 3, 8, 8), CONV),
        (nn.LSTM(4, 6, batch_first=True), torch.zeros(2, 5, 4), LSTM),
        (Attention(), torch.zeros(2, 5, 8), ATTENTION),
        (LooksAtValues(), torch.zeros(2, 5, 4), LSTM),
    ],
)
def test_flops_are_those_of_the_products(network, inputs, expected):
    assert forward(network, inputs).flops == expected


def test_flops_by_module():
    network = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Sequential(nn.Linear(8, 2)))
    counted = forward(network, torch.zeros(3, 4))
    assert counted.by_module == {"0": 2 * 3 * 32, "2": 2 * 3 * 16, "2.0": 2 * 3 * 16}
    assert counted.flops == sum(counted.by_module[name] for name in ("0", "2"))


def test_what_makes_its_own_tensors_is_counted_without_computing():
    class Positions(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding, self.head = nn.Embedding(9, 4), nn.Linear(4, 2)

        def forward(self, x):
            assert x.is_meta
            return self.head(self.embedding(torch.arange(x.shape[1])) + torch.zeros(4))

    assert forward(Positions(), torch.zeros(2, 9)).flops == 2 * 9 * 4 * 2


def test_where_nothing_can_be_counted_the_reason_is_given():
    assert forward(nn.ReLU(), torch.zeros(2, 3)).flops is None
    assert "no operator" in forward(nn.ReLU(), torch.zeros(2, 3)).reason
    broken = forward(nn.Linear(3, 2), torch.zeros(2, 4))
    assert broken.flops is None
    assert broken.shapes is None
    assert "failed on the meta device" in broken.reason


@pytest.mark.parametrize("network", [nn.BatchNorm1d(5), LooksAtValues()])
def test_counting_changes_nothing(network):
    network.eval()
    inputs = torch.rand(2, 5, 4)
    before, state = copy.deepcopy(network.state_dict()), torch.get_rng_state()
    forward(network, inputs)
    after = network.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert not network.training
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize(
    ("network", "inputs"),
    [
        (nn.Sequential(nn.Conv2d(3, 6, 3), nn.ConvTranspose2d(6, 4, 3)), torch.zeros(2, 3, 8, 8)),
        (nn.Sequential(nn.Conv1d(3, 6, 3), nn.Flatten(), nn.Linear(18, 4)), torch.zeros(2, 3, 5)),
        (nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), torch.zeros(2, 5, 8)),
    ],
)
def test_the_count_is_that_of_torchs_own_counter(network, inputs):
    with FlopCounterMode(display=False) as counter:
        network(inputs)
    assert forward(network, inputs).flops == counter.get_total_flops()
