"""Jobs and what comes of them: the plain data that travels between a study and its workers."""

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

if TYPE_CHECKING:
    from proxyhpo._records.records import Config

__all__ = ["Died", "Ended", "Finished", "Hear", "Job", "Outcome", "Reported", "unheard"]


@dataclass(frozen=True)
class Job:
    """A training run to be done; plain data, so that it travels.

    Args:
        id: identifies the run within its study.
        config: in terms of the full network; ``build`` gets it.
        trained_config: after the transfer; the evaluator gets it.
        density: 1 for the full network.
        budget: fraction of a full training.
        seed: of the study; the run's own seeds follow from it and from the id.
        keep_weights: whether the outcome brings the trained weights.
        checkpoint_dir: where the training may keep checkpoints until it has ended.
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
        """The source of all randomness of this run, the same wherever and whenever it runs."""
        run = self.id
        return seed_sequence("training", self.seed, run.trial, run.rung, run.replicate)

    @property
    def network_seeds(self) -> np.random.SeedSequence:
        """The source of randomness for building and pruning the network."""
        return self.seeds.spawn(2)[0]

    @property
    def training_seed(self) -> int:
        """What the evaluator gets, and what seeds everything random in a training."""
        return int(self.seeds.spawn(2)[1].generate_state(1, np.uint64)[0] >> 1)


@dataclass(frozen=True)
class Reported:
    """A report of a training that is running.

    Args:
        report: the value and metrics.
        seconds: that the run has taken so far, as the training reported it itself, if it did.
        overhead_seconds: the part spent building and pruning.
        width_ratio: of the network.
        correction: how the updates of a proxy have been scaled, if they have.
        started_at: when the run began, in seconds since the epoch.
    """

    report: Report
    seconds: float
    overhead_seconds: float = 0.0
    width_ratio: float | None = None
    correction: Correction | None = None
    started_at: float | None = None


Hear = Callable[[Job, Reported], bool]
"""Hears a report of a job and answers whether its training is to end now."""


def unheard(_job: Job, _reported: Reported) -> bool:
    """Lets every training run to its end."""
    return False


@dataclass(frozen=True)
class Outcome:
    """How a training run ended.

    Args:
        reports: every finite report, in order.
        seconds: of building, pruning and training, the last as it reported it itself, if it did.
        overhead_seconds: of building and pruning.
        stopped: whether it ended early because it was told to.
        reason: why it failed, in one line; None if it did not.
        traceback: of the exception, if there was one.
        weights: the trained network's ``state_dict`` on the CPU, if asked for.
        correction: how the updates of a proxy were scaled, if they were.
        width_ratio: of the network; None if it could not be made, or the caller made it.
        started_at: when the run began, in seconds since the epoch, if that is known.
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
    started_at: float | None = field(default=None, compare=False)

    @property
    def value(self) -> float | None:
        """The last value reported; None if the run failed."""
        return self.reports[-1].value if self.reason is None and self.reports else None

    @classmethod
    def of_stopped(cls, heard: Sequence[Reported]) -> Outcome:
        """What is known of a training elsewhere that was told to end after the last of these."""
        last = heard[-1]
        return cls(
            reports=tuple(reported.report for reported in heard),
            seconds=last.seconds,
            overhead_seconds=last.overhead_seconds,
            stopped=True,
            correction=last.correction,
            width_ratio=last.width_ratio,
            started_at=last.started_at,
        )


@dataclass(frozen=True)
class Finished:
    """A training has ended, well or badly, and the outcome says which."""

    job: Job
    outcome: Outcome


@dataclass(frozen=True)
class Died:
    """What ran the job is gone (killed, crashed, out of time), and the training with it."""

    job: Job
    reason: str
    seconds: float


Ended = Finished | Died
