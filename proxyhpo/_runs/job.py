"""Jobs and their outcomes: the plain data exchanged between a study and its workers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from proxyhpo._records.correction import Correction
from proxyhpo._records.report import Report
from proxyhpo._records.run_id import RunId
from proxyhpo._seeding import seed_sequence
from proxyhpo.errors import EvaluatorError

if TYPE_CHECKING:
    from proxyhpo._records.records import Config

__all__ = ["Died", "Ended", "Finished", "Hear", "Job", "Outcome", "Reported", "unheard"]


@dataclass(frozen=True)
class Job:
    """A training to run, as plain data that can be sent to a worker.

    Args:
        id: identifies the training within its study.
        config: in terms of the full network, for ``build``.
        trained_config: the config after the transfer, for the evaluator.
        density: of the network; 1 is the full network.
        budget: fraction of a full training.
        seed: of the study. The training's own seeds are derived from it and from the id.
        keep_weights: whether the outcome must include the trained weights.
        checkpoint_dir: where the training may keep checkpoints until it ends.
    """

    id: RunId
    config: Config
    trained_config: Config
    density: float
    budget: float
    seed: int
    keep_weights: bool = False
    checkpoint_dir: Path | None = None

    @property
    def seeds(self) -> np.random.SeedSequence:
        """The source of all randomness of this training, independent of where and when it runs."""
        run = self.id
        return seed_sequence("training", self.seed, run.trial, run.rung, run.replicate)

    @property
    def network_seeds(self) -> np.random.SeedSequence:
        """The source of randomness for building and pruning the network."""
        return self.seeds.spawn(2)[0]

    @property
    def training_seed(self) -> int:
        """The seed that the evaluator gets, and that seeds all random generators of a training."""
        return int(self.seeds.spawn(2)[1].generate_state(1, np.uint64)[0] >> 1)


@dataclass(frozen=True)
class Reported:
    """A report of a running training.

    Args:
        report: the value and metrics.
        seconds: duration so far; see :class:`Outcome`.
        overhead_seconds: the part spent on building and pruning.
        width_ratio: of the network.
        correction: how the updates of a proxy have been scaled, if they have.
        backward_passes: so far; None if unknown.
        started_at: when the run began, in seconds since the epoch.
    """

    report: Report
    seconds: float
    overhead_seconds: float = 0.0
    width_ratio: float | None = None
    correction: Correction | None = None
    backward_passes: int | None = None
    started_at: float | None = None


Hear = Callable[[Job, Reported], bool]
"""Receives a report of a job and returns whether its training must end now."""


def unheard(_job: Job, _reported: Reported) -> bool:
    """Lets every training finish."""
    return False


@dataclass(frozen=True)
class Outcome:
    """How a training ended.

    Args:
        reports: every finite report, in order.
        seconds: of building, pruning and training. If the training reported its own ``seconds``,
            they replace the measured training time.
        overhead_seconds: of building and pruning.
        stopped: whether it was told to end early.
        reason: why it failed, in one line; None if it did not fail.
        traceback: of the exception, if there was one.
        weights: the trained network's ``state_dict`` on the CPU, if requested.
        correction: how the updates of a proxy were scaled, if they were.
        width_ratio: of the network; None if it could not be made, or the caller made it.
        backward_passes: of the network; None if unknown.
        started_at: when the run began, in seconds since the epoch, if that is known.
        refusal: the exception, if it says that no config can be trained.
    """

    reports: tuple[Report, ...] = ()
    seconds: float = 0.0
    overhead_seconds: float = 0.0
    stopped: bool = False
    reason: str | None = None
    traceback: str | None = None
    weights: Mapping[str, Tensor] | None = None
    correction: Correction | None = None
    width_ratio: float | None = None
    backward_passes: int | None = None
    started_at: float | None = field(default=None, compare=False)
    refusal: EvaluatorError | None = field(default=None, compare=False)

    @property
    def value(self) -> float | None:
        """The last value reported; None if the training failed."""
        return self.reports[-1].value if self.reason is None and self.reports else None

    @classmethod
    def of_stopped(cls, heard: Sequence[Reported]) -> Outcome:
        """The outcome of a remote training that was told to end after the last of these reports."""
        last = heard[-1]
        return cls(
            reports=tuple(reported.report for reported in heard),
            seconds=last.seconds,
            overhead_seconds=last.overhead_seconds,
            stopped=True,
            correction=last.correction,
            width_ratio=last.width_ratio,
            backward_passes=last.backward_passes,
            started_at=last.started_at,
        )


@dataclass(frozen=True)
class Finished:
    """A training has ended; the outcome says whether it succeeded."""

    job: Job
    outcome: Outcome


@dataclass(frozen=True)
class Died:
    """The worker of the job is gone (killed, crashed, timed out), and its training with it."""

    job: Job
    reason: str
    seconds: float


Ended = Finished | Died
