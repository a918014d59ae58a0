import copy
import random
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import nn

from proxyhpo._networks.counting import forward
from proxyhpo._networks.reach import reach
from proxyhpo._networks.running import run, step_seconds
from proxyhpo._proxy.acceptance import check_runs


@dataclass
class Output:
    logits: Any
    hidden: Any = None


class Several(nn.Module):
    """Outputs of many kinds, of which only floating ones are differentiable."""

    modes: ClassVar[list[tuple[bool, bool]]] = []  # of all copies

    def __init__(self):
        self.modes.clear()
        super().__init__()
        self.norm, self.used = nn.BatchNorm1d(4), nn.Linear(4, 2)

    def forward(self, x):
        self.modes.append((self.training, torch.is_grad_enabled()))
        x = self.used(self.norm(x) + torch.rand(4))
        return {"logits": x, "class": x.argmax(1), "more": [Output(x.square())]}


def test_timing_a_step_changes_nothing():
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


@pytest.mark.parametrize(("limit", "expected"), [(0, 1), (60, 2)])
def test_steps_are_bounded_by_time_and_by_number(limit, expected, monkeypatch):
    network = Several()
    ticks = iter(range(1000))
    monkeypatch.setattr("time.perf_counter", lambda: float(next(ticks)))
    assert step_seconds(network, torch.rand(6, 4), limit=limit) == 1
    assert len(network.modes) == expected


@pytest.mark.parametrize(
    ("durations", "expected"),
    [([5.0, 9.0], 9.0), ([0.9, 0.1, 0.09, 0.02, 0.06], 0.02), ([0.001] * 60, 0.001)],
    ids=["long steps are repeated once", "a quarter of a second after it", "up to sixty times"],
)
def test_the_shortest_step_after_the_first_counts(durations, expected, monkeypatch):
    network = Several()
    ends = np.cumsum(durations)
    clock = iter(np.stack([ends - durations, ends], 1).ravel())
    monkeypatch.setattr("time.perf_counter", lambda: float(next(clock)))
    assert step_seconds(network, torch.rand(6, 4), limit=1e9) == pytest.approx(expected)
    assert len(network.modes) == len(durations)


def test_a_failing_step_does_not_change_the_network():
    network = Several().eval()
    with pytest.raises(RuntimeError):
        step_seconds(network, torch.rand(6, 5))
    assert not network.training


def test_a_frozen_network_is_timed():
    network = nn.Linear(3, 2).requires_grad_(False)
    assert step_seconds(network, torch.rand(6, 3)) > 0


@pytest.mark.gpu
def test_a_step_on_a_gpu_gives_the_memory_back():
    network = nn.Sequential(nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 512))
    before = torch.cuda.memory_reserved()
    assert step_seconds(network, torch.rand(256, 512), device="cuda") > 0
    assert next(network.parameters()).device.type == "cpu"
    assert torch.cuda.memory_reserved() <= before


class WritesToItsInputs(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last = nn.ReLU(inplace=True), nn.Linear(4, 2)

    def forward(self, x, more, *, also):
        x = self.first(x)
        more["list"][0] -= more["list"][0].mean(0)
        also[0].zero_()
        return self.last(x + more["list"][0] + also[0])


class RunsOnce(nn.Module):
    """Fails when it is run a second time, and leaves all kinds of things behind."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.mean = nn.Parameter(torch.zeros(4), requires_grad=False)
        self.register_buffer("table", torch.zeros(1, 4))
        self.hidden, self.seen = None, []

    def forward(self, x):
        assert self.hidden is None
        self.mean.data.lerp_(x.mean(0).detach(), 0.5)
        self.table = torch.zeros(len(x), 4)
        self.hidden = self.layer(x)
        self.seen.append(self.hidden)
        return self.hidden - self.mean + self.table


@pytest.mark.parametrize(
    "look",
    [run, step_seconds, forward, reach, check_runs],
)
def test_a_look_writes_to_nothing_of_the_callers(look):
    x, more, also = torch.randn(6, 4), {"list": [torch.randn(6, 4)]}, [torch.randn(6, 4)]
    inputs = {"x": x, "more": more, "also": also}
    before = copy.deepcopy(inputs)
    look(WritesToItsInputs(), inputs)
    assert torch.equal(x, before["x"])
    assert torch.equal(more["list"][0], before["more"]["list"][0])
    assert torch.equal(also[0], before["also"][0])


@pytest.mark.parametrize("look", [run, step_seconds, forward, reach, check_runs])
def test_each_run_is_on_a_fresh_copy(look):
    network = RunsOnce()
    for _ in range(2):
        look(network, torch.randn(6, 4))
    assert network.hidden is None
    assert network.seen == []
    assert network.mean.count_nonzero() == 0
    assert network.table.shape == (1, 4)
