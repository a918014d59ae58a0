"""A small search, and what trainings came to: shared by tests of whole studies."""

import torch
from torch import nn

from proxyhpo import Float, ProxyHPO


def small_search(train, **options):
    """The result of two trials on proxies of a small network, and one on the full network."""
    return ProxyHPO(
        lambda: nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1)),
        train,
        {"lr": Float(1e-3, 1)},
        example_inputs=torch.zeros(2, 8),
        direction="minimize",
        density=0.5,
        searcher="random",
        **options,
    ).run(2, finalists=1)


def outcomes(result):
    """What each training was and came to, without times; equal studies have equal outcomes."""
    return [
        (r.trial, r.rung, r.replicate, r.config, r.trained_config, r.state, r.values, r.value)
        for r in result.records
    ]


def sorted_outcomes(result):
    """The same, whatever the order in which trainings ended."""
    return sorted(outcomes(result), key=lambda outcome: outcome[:3])
