"""How a network is run for its trace."""

import pytest
import torch
from torch import nn

from proxyhpo.channels.find import trace as tracing
from proxyhpo.channels.find.clock import Clock
from proxyhpo.channels.find.trace import Setting, trace

INPUTS = torch.rand(4, 6)


class Careful(nn.Module):
    """May read values in its forward pass."""

    def __init__(self, reads):
        super().__init__()
        self.reads = reads
        self.layers = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 2))

    def forward(self, x):
        if self.reads and x.max() > 2:
            raise ValueError("inputs must be scaled")
        return self.layers(x)


@pytest.mark.parametrize("reads", [False, True])
def test_a_small_network_that_takes_long_is_run_without_values_if_it_can(reads, monkeypatch):
    usual = trace(Careful(reads), INPUTS, ignore=(), clock=Clock(60))
    assert usual.setting == Setting(meta=False, batch=2)
    monkeypatch.setattr(tracing, "QUICK_SECONDS", 0.0)
    slow = trace(Careful(reads), INPUTS, ignore=(), clock=Clock(60))
    assert slow.setting == Setting(meta=not reads, batch=2)
    assert slow.flops == usual.flops
    assert [operation.operator for operation in slow.operations[True] if operation.results] == [
        operation.operator for operation in usual.operations[True] if operation.results
    ]
