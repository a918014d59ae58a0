"""Small data sets, and trainings on them."""

import math

import torch
from torch import nn

from proxyhpo._records.report import Report
from proxyhpo.evaluators import SupervisedEvaluator, TrialRun


def blobs(n, seed):
    """Three well separated clouds in the plane."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(3, (n,), generator=generator)
    centres = torch.tensor([[3.0, 0], [-3, 3], [-3, -3]])
    return centres[y] + torch.randn(n, 2, generator=generator), y


def line(n, seed):
    x = torch.randn(n, 2, generator=torch.Generator().manual_seed(seed))
    return x, x @ torch.tensor([1.0, -2.0]) + 0.5


TRAIN, VALIDATION = blobs(200, 0), blobs(100, 1)


def classifier(*, norm=False):
    torch.manual_seed(0)
    layers = [nn.Linear(2, 8), *([nn.BatchNorm1d(8)] if norm else []), nn.ReLU(), nn.Linear(8, 3)]
    return nn.Sequential(*layers)


def classification(**given):
    return SupervisedEvaluator(TRAIN, VALIDATION, **{"epochs": 3, **given})


def run(evaluator, config, *, network=None, most=math.inf, **changes):
    """What a training reports if it is told to end after ``most`` reports."""
    network = classifier() if network is None else network
    reports = []

    def report(value, **metrics):
        reports.append(Report(value, metrics))
        return len(reports) >= most

    trial = TrialRun(number=0, rung=0, name="trial-0-rung-0", **changes)
    evaluator.evaluate(network, config, report, trial=trial)
    return reports


def rates_of(monkeypatch, evaluator, config, **given):
    """The learning rate of each step of a training."""
    rates = []
    step = torch.optim.SGD.step

    def spy(self, *args):
        rates.append(self.param_groups[0]["lr"])
        return step(self, *args)

    monkeypatch.setattr(torch.optim.SGD, "step", spy)
    reports = run(evaluator, config, **given)
    return rates, reports
