"""The protocol of executors."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from proxyhpo._runs import Ended, Hear, Job, Work

__all__ = ["Executor", "is_executor"]


class Executor(Protocol):
    """Runs jobs; one study at a time.

    It is told once what all trainings of a study share (a ``Work``) and who hears their reports,
    is handed one ``Job`` at a time, and returns each training that has ended. It decides nothing:
    proposals, promotions, stopping and the store belong to the study's process alone.
    """

    @property
    def capacity(self) -> int:
        """How many jobs run at the same time."""

    @property
    def ahead(self) -> int:
        """How many more are to be submitted, so that no place waits for the next to be decided."""

    @property
    def streams(self) -> bool:
        """Whether reports arrive while a training runs, so that it can be stopped early."""

    def start(self, work: Work, hear: Hear) -> None:
        """Makes ready for the jobs of a study. Called before anything else.

        Args:
            work: what the trainings share.
            hear: called in this process, with each job and report, in their order. If it returns
                True the training is told to end. It counts as ended there: ``wait_any`` returns a
                stopped outcome with what was reported so far, whatever the training does next. An
                exception of ``hear`` passes through ``wait_any``. An executor that does not
                stream never calls it.
        """

    def submit(self, job: Job) -> None:
        """Starts a job, or queues it where all places are taken."""

    def wait_any(self, timeout: float | None = None) -> Ended | None:
        """The end of any job, or None when ``timeout`` seconds have passed or no job is left.

        Reports are heard meanwhile. An executor that trains in this very process may take longer.
        """

    def drain(self) -> int:
        """Begins none of the jobs queued or still to be submitted, until ``start``.

        Jobs that have begun are finished; after that ``wait_any`` returns None. This is called from
        the handler of a signal, in the middle of any other method: it should set a mark, and no
        more.

        Returns:
            How many jobs have begun and not ended.
        """

    def shutdown(self) -> None:
        """Ends every job and gives all resources back; ``start`` may be called again.

        Also called where ``start`` has been interrupted or has raised, for what it had begun.
        """


_MEMBERS = [name for name in vars(Executor) if not name.startswith("_")]


def is_executor(given: Any) -> bool:
    """Whether it has all members of an executor; no property is evaluated.

    >>> from proxyhpo.executors import InProcessExecutor
    >>> is_executor(InProcessExecutor()), is_executor(InProcessExecutor), is_executor(3)
    (True, False, False)
    """
    has_all = all(inspect.getattr_static(given, name, None) is not None for name in _MEMBERS)
    return has_all and not isinstance(given, type)
