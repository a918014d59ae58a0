import copy
import random
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import nn

from proxyhpo._networks.fans import masked_away, width_ratio
from proxyhpo._networks.measuring import (
    forward,
    parameter_count,
    skeleton,
    step_seconds,
    tensors_in,
)


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
def test_counting_leaves_everything_as_it_was(network):
    network.eval()
    inputs = torch.rand(2, 5, 4)
    before, state = copy.deepcopy(network.state_dict()), torch.get_rng_state()
    mkldnn = torch._C._get_mkldnn_enabled()
    forward(network, inputs)
    after = network.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert not network.training
    assert torch.equal(state, torch.get_rng_state())
    assert torch._C._get_mkldnn_enabled() == mkldnn


def test_a_skeleton_has_shapes_ties_and_names_but_no_values():
    network = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 4))
    network[2].weight = network[0].weight
    network[0].bias.requires_grad_(False)
    made = skeleton(network)
    assert all(tensor.is_meta for tensor in (*made.parameters(), *made.buffers()))
    assert made[2].weight is made[0].weight
    assert [n for n, p in made.named_parameters() if not p.requires_grad] == ["0.bias"]
    assert not network[0].weight.is_meta


class Pair(NamedTuple):
    a: Any
    b: Any


@dataclass
class Output:
    logits: Any
    hidden: Any = None


def test_tensors_are_found_in_any_output():
    x, y, z = torch.zeros(1), torch.zeros(2), torch.zeros(3)
    output = {"o": Output(x, None), "p": Pair(y, [z, "text", 3])}
    assert [len(tensor) for tensor in tensors_in(output)] == [1, 2, 3]


class Several(nn.Module):
    """Outputs of many kinds, of which only floating ones are differentiable."""

    def __init__(self):
        super().__init__()
        self.norm, self.used, self.modes = nn.BatchNorm1d(4), nn.Linear(4, 2), []

    def forward(self, x):
        self.modes.append((self.training, torch.is_grad_enabled()))
        x = self.used(self.norm(x) + torch.rand(4))
        return {"logits": x, "class": x.argmax(1), "more": [Output(x.square())]}


def test_a_step_is_timed_and_leaves_everything_as_it_was():
    network, inputs = Several().eval(), torch.rand(6, 4)
    before = copy.deepcopy(network.state_dict())
    state = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()
    assert step_seconds(network, inputs) > 0
    assert set(network.modes) == {(True, True)}
    after = network.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert not network.training
    assert network.norm.training is False
    assert all(parameter.grad is None for parameter in network.parameters())
    assert torch.equal(state[0], torch.get_rng_state())
    assert state[1] == random.getstate()
    assert (state[2] == np.random.get_state()[1]).all()


@pytest.mark.parametrize(("limit", "expected"), [(0, 1), (60, 7)])
def test_steps_are_bounded_by_time_and_by_number(limit, expected, monkeypatch):
    network = Several()
    ticks = iter(range(1000))
    monkeypatch.setattr("time.perf_counter", lambda: float(next(ticks)))
    assert step_seconds(network, torch.rand(6, 4), limit=limit) == 1
    assert len(network.modes) == expected


def test_warm_up_steps_do_not_count(monkeypatch):
    durations = [50, 9, 1, 1, 3, 1, 1]
    ends = np.cumsum(durations)
    clock = iter(np.stack([ends - durations, ends], 1).ravel())
    monkeypatch.setattr("time.perf_counter", lambda: float(next(clock)))
    assert step_seconds(Several(), torch.rand(6, 4), limit=1e9) == 1


def test_a_failing_step_leaves_the_network_as_it_was():
    network = Several().eval()
    with pytest.raises(RuntimeError):
        step_seconds(network, torch.rand(6, 5))
    assert not network.training


def test_a_frozen_network_is_timed():
    network = nn.Linear(3, 2).requires_grad_(False)
    assert step_seconds(network, torch.rand(6, 3)) > 0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_step_on_a_gpu_gives_the_memory_back():
    network = nn.Sequential(nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 512))
    before = torch.cuda.memory_reserved()
    assert step_seconds(network, torch.rand(256, 512), device="cuda") > 0
    assert next(network.parameters()).device.type == "cpu"
    assert torch.cuda.memory_reserved() <= before


def test_width_ratio_is_the_kept_fraction_of_fan_in_weighted_by_size():
    full = nn.Sequential(nn.Linear(10, 40), nn.BatchNorm1d(40), nn.Linear(40, 40), nn.Linear(40, 2))
    proxy = nn.Sequential(
        nn.Linear(10, 20), nn.BatchNorm1d(20), nn.Linear(20, 10), nn.Linear(10, 2)
    )
    sizes, kept = np.array([400, 1600, 80]), np.array([1, 0.5, 0.25])
    assert width_ratio(proxy, full) == pytest.approx((sizes * kept).sum() / sizes.sum())
    assert width_ratio(full, full) == 1


def test_width_ratio_as_the_pruner_saw_it():
    full = nn.ParameterDict({"w": torch.ones(4, 6)})
    proxy = nn.ParameterDict({"w": torch.ones(1, 3)})
    assert width_ratio(proxy, full) == 0.5
    assert width_ratio(proxy, full, {"w": (0,)}) == 0.25


def test_width_ratio_without_any_matrix():
    assert width_ratio(nn.BatchNorm1d(3), nn.BatchNorm1d(3)) == 1


def test_masks_count_by_the_weights_that_became_zero():
    full = nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 2))
    with torch.no_grad():
        full[0].weight[:, 0] = 0  # zero before: no mask
        full[0].bias.zero_()
        proxy = copy.deepcopy(full)
        proxy[0].weight[:3] = 0
    away = masked_away(proxy, full)
    assert away == {"0.weight": 9}
    assert parameter_count(full) == 24 + 6 + 12 + 2
    assert parameter_count(proxy, away) == 44 - 9
    assert width_ratio(proxy, full) == pytest.approx((24 * 0.5 + 12) / 36)
