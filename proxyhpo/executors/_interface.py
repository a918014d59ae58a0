"""Executors run trainings: here, in other processes, or on other machines.

An executor is told once what all trainings of a study share (
a ``Work``), is handed one ``Job`` at a time, and
says what came of it. It decides nothing: proposals, promotions, stopping and the store belong to
the study process alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from proxyhpo._engine.work import Job, Outcome, Work
    from proxyhpo._records.records import Report

__all__ = ["Died", "Event", "Executor", "Finished", "Reported"]


@dataclass(frozen=True)
class Reported:
    """A training has reported, and goes on.

    Args:
        job: of the training.
        report: what it said.
        seconds: that it has taken so far.
        overhead_seconds: the part spent building and pruning.
    """

    job: Job
    report: Report
    seconds: float
    overhead_seconds: float = 0.0


@dataclass(frozen=True)
class Finished:
    """A training has ended, well or badly, and the outcome says which."""

    job: Job
    outcome: Outcome


@dataclass(frozen=True)
class Died:
    """Whoever ran the job is gone (killed, crashed, out of time), and the training with it."""

    job: Job
    reason: str
    seconds: float


Event = Reported | Finished | Died


@runtime_checkable
class Executor(Protocol):
    """Runs jobs; one study at a time."""

    @property
    def capacity(self) -> int:
        """How many jobs run at the same time."""

    @property
    def ahead(self) -> int:
        """How many more are to be submitted, so that no place waits for the next to be decided."""

    @property
    def streams(self) -> bool:
        """Whether reports arrive while a training runs, so that it can be stopped early."""

    def start(self, work: Work) -> None:
        """Makes ready for the jobs of a study. Called before anything else."""

    def submit(self, job: Job) -> None:
        """Starts a job, or queues it where all places are taken."""

    def wait_any(self, timeout: float | None = None) -> Event | None:
        """The next thing that happens to any job, or None when ``timeout`` seconds have passed."""

    def stop(self, job: Job) -> None:
        """Ends a job early: its generator is closed, and no further event of it arrives."""

    def drain(self) -> int:
        """Begins nothing any more, of what is queued or still to be submitted, until ``start``.

        What has begun goes on; once it has ended, ``wait_any`` returns None. This is called from
        the handler of a signal, in the middle of any other method: it should set a mark, and no
        more.

        Returns:
            How many jobs have begun and not ended.
        """

    def shutdown(self) -> None:
        """Ends every job and gives all resources back; ``start`` may be called again.

        Also called where ``start`` has been interrupted or has raised, for what it had begun.
        """
