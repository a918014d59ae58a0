"""What a worker process and its study say to each other.

To the worker go one :class:`WorkerSetup`, then jobs, and :data:`STOP` to end the one that runs; the
connection closed means that there will be no more. Back come tuples: a word, then what it says.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ENDED", "REPORTED", "STARTED", "STOP", "UNUSABLE", "WorkerSetup"]

STARTED = "started"
"""(): the training of the job begins."""

REPORTED = "reported"
"""(what was reported, a ``Reported``)."""

ENDED = "ended"
"""(outcome,), or () if the training was told to end."""

UNUSABLE = "unusable"
"""(error,): the work cannot be loaded, so no job can be done."""

STOP = None


@dataclass(frozen=True)
class WorkerSetup:
    """What a worker has in common with the study's process.

    Args:
        path: where modules are found, as in ``sys.path``.
        directory: the working directory.
        threads: of torch.
    """

    path: list[str]
    directory: str
    threads: int
