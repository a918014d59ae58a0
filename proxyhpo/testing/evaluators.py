"""The contract of every :class:`~proxyhpo.evaluators.ProxyEvaluator`, as tests."""

from __future__ import annotations

import copy
import math
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cloudpickle
import pytest
from torch import nn

from proxyhpo._records.records import Config
from proxyhpo._records.report import Report, checked_report
from proxyhpo._seeding import preserved_random_state, seed_everything
from proxyhpo.evaluators import ProxyEvaluator, TrialRun

__all__ = ["EvaluatorCase", "EvaluatorContract"]


@dataclass(frozen=True)
class EvaluatorCase:
    """An evaluator with a network and a config to train.

    Args:
        evaluator: to be tested.
        build: makes a small network that it can train.
        config: to train with.
    """

    evaluator: ProxyEvaluator
    build: Callable[[], nn.Module]
    config: Config

    def reports(
        self, *, budget: float = 1.0, seed: int = 0, most: float = math.inf
    ) -> list[Report]:
        """All reports of a training, run as the engine runs it.

        Args:
            budget: fraction of a full training.
            seed: of the training.
            most: number of reports after which it is told to end.
        """
        made: list[Report] = []

        def report(value: Any, /, **metrics: Any) -> bool:
            made.append(checked_report(value, metrics, "report: got"))
            return len(made) >= most

        trial = TrialRun(number=0, rung=0, name="trial-0-rung-0", budget=budget, seed=seed)
        with preserved_random_state(), tempfile.TemporaryDirectory() as folder:
            if self.evaluator.takes_checkpoint_dir:
                trial = replace(trial, checkpoint_dir=Path(folder))
            seed_everything(seed)
            network = self.build()
            seed_everything(seed)
            returned: object = self.evaluator.evaluate(network, self.config, report, trial=trial)
        assert returned is None, "evaluate must call report and return None"
        return made


class EvaluatorContract:
    """Subclass it as ``TestMyEvaluator`` and provide the fixture ``case``.

    ::

        class TestMyEvaluator(EvaluatorContract):
            @pytest.fixture
            def case(self):
                return EvaluatorCase(MyEvaluator(), lambda: nn.Linear(2, 1), {"lr": 0.1})
    """

    @pytest.fixture
    def case(self) -> EvaluatorCase:
        """The evaluator, and what it can train."""
        raise NotImplementedError("provide a fixture `case` that returns an EvaluatorCase")

    def test_reports_are_numbers(self, case: EvaluatorCase) -> None:
        """There is at least one report; ``report`` rejects values that are not numbers."""
        assert case.reports(), "a training must report at least once"

    def test_equal_seeds_give_equal_reports(self, case: EvaluatorCase) -> None:
        """A training depends only on its arguments and seeds, not on earlier trainings.

        Measured seconds may differ.
        """
        first = _without_seconds(case.reports(seed=1))
        case.reports(seed=2)
        assert _without_seconds(case.reports(seed=1)) == first

    def test_a_small_budget_still_reports(self, case: EvaluatorCase) -> None:
        """If a budget is supported, the smallest one gives at least one report."""
        assert type(case.evaluator.takes_budget) is bool
        if case.evaluator.takes_budget:
            assert case.reports(budget=1e-6)
            assert len(case.reports(budget=0.5)) <= len(case.reports(budget=1.0))

    def test_a_training_can_be_ended_early(self, case: EvaluatorCase) -> None:
        """There are no reports after ``report`` has returned True."""
        assert len(case.reports(most=1)) == 1

    def test_the_config_is_only_read(self, case: EvaluatorCase) -> None:
        """The config is not modified."""
        before = copy.deepcopy(case.config)
        case.reports()
        assert case.config == before

    def test_the_direction_is_one_of_three(self, case: EvaluatorCase) -> None:
        """None leaves the direction to the user."""
        assert case.evaluator.direction in {"minimize", "maximize", None}

    def test_it_travels_to_other_processes(self, case: EvaluatorCase) -> None:
        """A pickled copy in a worker gives the same reports."""
        travelled = cloudpickle.loads(cloudpickle.dumps(case.evaluator))
        there = EvaluatorCase(travelled, case.build, case.config)
        assert _without_seconds(there.reports()) == _without_seconds(case.reports())


def _without_seconds(reports: list[Report]) -> list[tuple[float, dict[str, float]]]:
    return [
        (report.value, {k: v for k, v in report.metrics.items() if "seconds" not in k})
        for report in reports
    ]
