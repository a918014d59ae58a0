"""Evaluators train a network with a config and report how good it is."""

from proxyhpo.evaluators._interface import (
    Direction,
    ProxyEvaluator,
    ReportChoice,
    ReportFunction,
    TrialRun,
)
from proxyhpo.evaluators._supervised import SupervisedEvaluator
from proxyhpo.evaluators._training import TrainingEvaluator

__all__ = [
    "Direction",
    "ProxyEvaluator",
    "ReportChoice",
    "ReportFunction",
    "SupervisedEvaluator",
    "TrainingEvaluator",
    "TrialRun",
]
