"""The messages between a study and its worker processes.

A worker receives one :class:`WorkerSetup` and then jobs; :data:`STOP` ends the running job. A
closed connection means that no more jobs will come. A worker sends tuples: a message type and its
content.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ENDED", "REPORTED", "STARTED", "STOP", "UNUSABLE", "WorkerSetup"]

STARTED = "started"
"""(): the training of the job has started."""

REPORTED = "reported"
"""(reported,): a report, as a ``Reported``."""

ENDED = "ended"
"""(outcome,), or () if the training was told to end."""

UNUSABLE = "unusable"
"""(error,): the work cannot be loaded, so no job can run."""

STOP = None


@dataclass(frozen=True)
class WorkerSetup:
    """The settings of the study's process that a worker adopts.

    Args:
        path: the study's ``sys.path``.
        directory: the working directory.
        threads: torch threads.
    """

    path: list[str]
    directory: str
    threads: int
