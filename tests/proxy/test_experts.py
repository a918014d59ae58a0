"""Mixtures of experts, of which a few examples reach only some."""

import pytest
import torch
from torch import nn

from proxyhpo._proxy.inspection import inspect

INPUTS = 5 * torch.randn(64, 16, generator=torch.Generator().manual_seed(0))


class Switch(nn.Module):
    """Sends each example to the expert of the greatest score, as switch transformers do."""

    def __init__(self):
        super().__init__()
        self.stem, self.router = nn.Linear(16, 32), nn.Linear(32, 4)
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 32)) for _ in range(4)
        )
        self.head = nn.Linear(32, 3)

    def forward(self, x):
        x = self.stem(x).relu()
        gates, chosen = self.router(x).softmax(-1).max(-1)
        y = torch.zeros_like(x)
        for number, expert in enumerate(self.experts):
            rows = torch.nonzero(chosen == number).flatten()
            if rows.numel():
                y = y.index_add(0, rows, expert(x[rows]) * gates[rows, None])
        return self.head(x + y)


@pytest.mark.parametrize("seed", [0, 2, 3])
def test_a_proxy_is_the_same_whichever_experts_two_examples_reach(seed):
    def build():
        torch.manual_seed(seed)
        return Switch()

    with torch.no_grad():
        network = build()
        scores = network.router(network.stem(INPUTS).relu())
    assert scores[:2].argmax(-1).unique().numel() < 4
    assert scores.argmax(-1).unique().numel() == 4
    seen = inspect(build, INPUTS, density=0.5, pretrained=False)
    # Stem, router, four experts and head at half their widths.
    inside = 4 * (16 * 32 + 32 + 32 * 16 + 16)
    assert seen.proxy.parameters == 16 * 16 + 16 + 16 * 4 + 4 + inside + 16 * 3 + 3
    assert not seen.proxy.unreached
    assert seen.proxy.width_ratio < 0.6
