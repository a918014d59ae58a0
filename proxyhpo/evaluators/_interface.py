"""Evaluators train a network with a config and report how good it is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args

import torch

from proxyhpo.errors import unknown_name

if TYPE_CHECKING:
    from torch import nn

    from proxyhpo._records.records import Config
    from proxyhpo.space import Space

__all__ = [
    "Direction",
    "ProxyEvaluator",
    "ReportChoice",
    "ReportFunction",
    "TrialRun",
    "check_report_choice",
]

Direction = Literal["minimize", "maximize"]

ReportChoice = Literal["last", "best"]
"""Which report of a training is its value."""


class ReportFunction(Protocol):
    """Receives the reports of a training."""

    def __call__(self, value: Any, /, **metrics: Any) -> bool:
        """Reports the value after a step, such as an epoch.

        It may be called anywhere in the call stack of the training, for example in a callback of a
        framework. The last reported value is the trial's, unless ``use_report`` says otherwise.

        Args:
            value: what the user optimises: an int, a float, a NumPy scalar, or a tensor or array
                without dimensions.
            metrics: further numbers, stored with the value. ``seconds`` overrides the measured
                training time so far.

        Returns:
            Whether the training must end now. Reports after that are ignored.

        Raises:
            TypeError: for a value or metric that is not a number.
            ValueError: for ``seconds`` outside the possible range.
        """


@dataclass(frozen=True)
class TrialRun:
    """The training that an evaluator is asked to run.

    Args:
        number: of the trial, from 0.
        rung: index of the rung, 0 the cheapest.
        name: unique within the study, such as ``"trial-3-rung-1"``, for trackers and file names.
        density: of the network; 1 is the full network.
        budget: fraction of a full training, in (0, 1].
        seed: in [0, 2**63), for your own generators.
        device: the device of the study. The network itself is on the CPU, as ``build`` returned
            it.
        checkpoint_dir: an existing folder for checkpoints, for evaluators that ask for one. It is
            the same folder if the training runs again because its process was killed.
        left_to_train: names of the hyperparameters that only the evaluator can use, because
            ``build`` gets no config; empty if it does.
    """

    number: int
    rung: int
    name: str
    density: float = 1.0
    budget: float = 1.0
    seed: int = 0
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    checkpoint_dir: Path | None = None
    left_to_train: frozenset[str] = frozenset()


class ProxyEvaluator(ABC):
    """Trains a network (a proxy, or the full network itself) and reports its value.

    Attributes:
        use_report: which report is the training's value: ``"last"``, or ``"best"`` for trainings
            that end some time after their best epoch, as with early stopping. The weights that the
            study keeps are those at that report.
    """

    use_report: ReportChoice = "last"

    @abstractmethod
    def evaluate(
        self, network: nn.Module, config: Config, report: ReportFunction, *, trial: TrialRun
    ) -> None:
        """Trains the network in place, and reports after each step, such as an epoch.

        It must report at least once, and end soon after ``report`` has returned True. Global random
        states (``random``, numpy, torch) are seeded before the call.

        Args:
            network: freshly built (and pruned); not shared with any other training.
            config: what to train with, after the transfer. Labelled choices appear as their
                objects.
            report: receives each value, and returns whether to end.
            trial: the training to run, with its budget and seed.
        """

    @property
    def takes_budget(self) -> bool:
        """Whether it supports a budget below 1 (so that schedules anneal)."""
        return True

    @property
    def takes_checkpoint_dir(self) -> bool:
        """Whether it uses ``trial.checkpoint_dir``, which is None otherwise.

        The study then creates a folder for each training, and removes it once the training has
        ended.
        """
        return False

    @property
    def direction(self) -> Direction | None:
        """The direction of its values; None leaves it to the user."""
        return None

    @property
    def device(self) -> str | None:
        """The device on which it trains, such as ``"cuda:0"``; None if it does not define one."""
        return None

    def check(self, space: Space) -> None:  # noqa: B027 - most evaluators can train with any space
        """Checks that it can train with this space; called once, before any training.

        Raises:
            ArgumentError: names the hyperparameter and what is allowed.
        """


def check_report_choice(given: object) -> ReportChoice:
    """The choice, if it is one.

    Raises:
        UnknownNameError: otherwise.
    """
    if given == "last" or given == "best":  # noqa: PLR1714 - which a type checker follows
        return given
    raise unknown_name("use_report", given, get_args(ReportChoice))
