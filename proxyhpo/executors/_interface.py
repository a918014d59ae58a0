"""The protocol of executors."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from proxyhpo._runs import Ended, Hear, Job, Work

__all__ = ["Executor", "is_executor"]


class Executor(Protocol):
    """Runs jobs, for one study at a time.

    An executor first receives what all trainings of a study share (a ``Work``) and the listener for
    their reports. It then receives one ``Job`` at a time, and returns each training that has ended.
    It makes no decisions: the study's process proposes configs, promotes and stops trials, and
    writes the store.
    """

    @property
    def capacity(self) -> int:
        """How many jobs run at the same time."""

    @property
    def ahead(self) -> int:
        """How many more jobs to submit, so that a worker need not wait for the next decision."""

    @property
    def streams(self) -> bool:
        """Whether reports arrive while a training runs, so that it can be stopped early."""

    def start(self, work: Work, hear: Hear) -> None:
        """Prepares for the jobs of a study. Called before all other methods.

        Args:
            work: what the trainings share.
            hear: the listener. Call it in this process with each job and report, in order. If it
                returns True, the training must end: ``wait_any`` returns a stopped outcome with the
                reports so far, and whatever the training does afterwards is ignored. ``wait_any``
                raises the exceptions of ``hear``. An executor that does not stream reports never
                calls it.
        """

    def submit(self, job: Job) -> None:
        """Starts a job, or queues it if all workers are busy."""

    def wait_any(self, timeout: float | None = None) -> Ended | None:
        """Waits for the end of any job. None after ``timeout`` seconds, or if no job is left.

        It handles reports while it waits. An executor that trains in this process may take longer
        than ``timeout``.
        """

    def drain(self) -> int:
        """Starts no more jobs, neither queued nor newly submitted ones, until ``start`` is called.

        Running jobs finish; after that ``wait_any`` returns None. This method is called from a
        signal handler, possibly in the middle of another method, so it should only set a flag.

        Returns:
            The number of running jobs.
        """

    def shutdown(self) -> None:
        """Ends every job and releases all resources. ``start`` may be called again.

        It is also called if ``start`` was interrupted or raised an exception, to clean up.
        """


_MEMBERS = [name for name in vars(Executor) if not name.startswith("_")]


def is_executor(given: Any) -> bool:
    """Whether an object has all members of an executor, without evaluating any property.

    >>> from proxyhpo.executors import InProcessExecutor
    >>> is_executor(InProcessExecutor()), is_executor(InProcessExecutor), is_executor(3)
    (True, False, False)
    """
    has_all = all(inspect.getattr_static(given, name, None) is not None for name in _MEMBERS)
    return has_all and not isinstance(given, type)
