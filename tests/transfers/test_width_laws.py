"""The law that scaled updates are made for: the best learning rate does not follow the width."""

import copy
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from proxyhpo._proxy import NetworkFactory
from proxyhpo.pruners import RandomPruner
from proxyhpo.transfers import LayerwiseTransfer, scaled_updates

WIDTHS = (1.0, 1 / 4, 1 / 16)
STEP = 0.5  # of the grid of learning rates, in powers of ten
RULE = LayerwiseTransfer(exponent=1).update_rule()
"""In the first steps, which are tested here, updates are aligned with the inputs of any network."""
DEFAULT = LayerwiseTransfer().update_rule()
"""The default differs from it under Adam, for networks without normalisation."""


def drawn(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class Perceptron:
    """Without normalisation, initialised by Kaiming's scheme; regression."""

    inputs = drawn(32, 24, seed=1)
    targets = torch.tanh(inputs @ drawn(24, 8, seed=2) / 4) @ drawn(8, 4, seed=3)
    hidden = ("2", "4")

    @staticmethod
    def build():
        sizes = (24, 512, 512, 512, 4)
        layers = [nn.Linear(*pair) for pair in pairwise(sizes)]
        for layer in layers:
            nn.init.kaiming_normal_(layer.weight)
            nn.init.zeros_(layer.bias)
        nn.init.normal_(layers[-1].weight, std=0.1 * 512**-0.5)
        first, *others = layers
        return nn.Sequential(first, *[m for layer in others for m in (nn.ReLU(), layer)])

    @classmethod
    def loss(cls, network):
        return (network(cls.inputs) - cls.targets).square().mean()


class LanguageModel(nn.Module):
    """A transformer of two layers that learns a permutation of its tokens."""

    inputs = torch.randint(0, 24, (16, 12), generator=torch.Generator().manual_seed(4))
    targets = ((inputs * 5 + 3) % 24).flatten()
    hidden = ("blocks.0.linear1", "blocks.1.linear1")
    tied = False

    def __init__(self, width=128):
        super().__init__()
        self.embed = nn.Embedding(24, width)
        self.position = nn.Parameter(torch.randn(1, 12, width) * 0.02)
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(
                width, 4, 2 * width, dropout=0.0, batch_first=True, norm_first=True
            )
            for _ in range(2)
        )
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 24, bias=False)
        if self.tied:
            nn.init.normal_(self.embed.weight, std=0.02)
            self.head.weight = self.embed.weight

    def forward(self, tokens):
        x = self.embed(tokens) + self.position
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))

    @classmethod
    def build(cls):
        return cls()

    @classmethod
    def loss(cls, network):
        return nn.functional.cross_entropy(network(cls.inputs).flatten(0, 1), cls.targets)


class TiedLanguageModel(LanguageModel):
    """One weight embeds the tokens and reads them out."""

    tied = True


def sgd(parameters, lr):
    return torch.optim.SGD(parameters, lr=lr, momentum=0.9)


@dataclass(frozen=True)
class Case:
    """A network, an optimizer, and between which powers of ten its best learning rate lies."""

    task: Any
    optimizer: Any
    low: float
    high: float

    def __str__(self):
        return f"{self.task.__name__}-{self.optimizer.__name__}"


CASES = [
    Case(Perceptron, torch.optim.Adam, -4.5, -1),
    Case(Perceptron, sgd, -3.5, 0.5),
    Case(LanguageModel, torch.optim.AdamW, -3.5, -0.5),
    Case(TiedLanguageModel, torch.optim.AdamW, -3.5, -0.5),
]


@cache
def proxy(task, width, seed):
    networks = NetworkFactory(task.build, RandomPruner(round_to=1), task.inputs, pretrained=False)
    return networks.make({}, density=width, seed=np.random.SeedSequence(seed))


def trained(case, width, rule, *, lr, steps, seed=0):
    made = proxy(case.task, width, seed)
    network = copy.deepcopy(made.network)
    optimizer = case.optimizer(network.parameters(), lr)
    with scaled_updates(network, made.fans, rule):
        for _ in range(steps):
            optimizer.zero_grad()
            case.task.loss(network).backward()
            optimizer.step()
    return network


@cache
def best(case, width, rule):
    """The logarithm of the best learning rate after a few steps, between points of the grid."""
    grid = np.arange(case.low, case.high + 0.1, STEP)
    losses = []
    for power in grid:
        network = trained(case, width, rule, lr=10**power, steps=15)
        loss = float(case.task.loss(network).detach())
        losses.append(np.log(min(np.nan_to_num(loss, nan=1e6, posinf=1e6), 1e6)))
    at = int(np.argmin(losses))
    assert 0 < at < len(grid) - 1, (losses, "the grid does not hold the best learning rate")
    left, middle, right = losses[at - 1 : at + 2]
    return grid[at] + STEP * 0.5 * (left - right) / (left - 2 * middle + right)


def moves(case, rule):
    """By how many powers of ten the best learning rate of narrow networks is off, by width."""
    full = best(case, 1.0, None)
    return {width: best(case, width, rule) - full for width in WIDTHS[1:]}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_best_learning_rate_stays_where_it_is(case):
    moved = moves(case, RULE)
    assert all(abs(by) < STEP for by in moved.values()), moved


def test_it_stays_under_the_default_for_networks_without_normalisation():
    moved = moves(CASES[0], DEFAULT)
    assert all(abs(by) < STEP for by in moved.values()), moved


@pytest.mark.parametrize("case", CASES, ids=str)
def test_without_scaling_it_moves(case):
    assert best(case, WIDTHS[-1], None) - best(case, 1.0, None) > STEP


def changes(case, width, rule, *, lr, steps):
    """By how much the activations of hidden layers change, as a root mean square; over seeds."""

    def activations(network):
        seen = {}
        handles = [
            network.get_submodule(name).register_forward_hook(
                lambda _, __, output, name=name: seen.update({name: output.detach()})
            )
            for name in case.task.hidden
        ]
        network(case.task.inputs)
        for handle in handles:
            handle.remove()
        return seen

    squares = []
    for seed in range(2):
        before = activations(trained(case, width, rule, lr=lr, steps=0, seed=seed))
        after = activations(trained(case, width, rule, lr=lr, steps=steps, seed=seed))
        squares.append([float((after[n] - before[n]).square().mean()) for n in case.task.hidden])
    return np.sqrt(np.mean(squares, 0))


@pytest.mark.parametrize("steps", [1, 10])
@pytest.mark.parametrize(
    "case, lr", [(CASES[0], 1e-4), (CASES[1], 2e-4), (CASES[2], 1e-3)], ids=str
)
def test_activations_change_by_as_much_at_any_width(case, lr, steps):
    """The coordinate check of muP (arXiv:2203.03466), on networks in the standard form."""
    full = changes(case, 1.0, None, lr=lr, steps=steps)
    for width in WIDTHS[1:]:
        scaled = changes(case, width, RULE, lr=lr, steps=steps) / full
        assert np.all((scaled > 0.5) & (scaled < 2)), (width, scaled)
    plain = changes(case, WIDTHS[-1], None, lr=lr, steps=steps) / full
    assert np.all(plain < 0.5), plain
