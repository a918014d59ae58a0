"""Executors run trainings: in this process, in other processes, or on other machines.

:class:`~proxyhpo.executors.Executor` documents the protocol.
"""

from proxyhpo._runs import Died, Ended, Finished, Hear, Job, Outcome, Reported, RunId, Work
from proxyhpo.executors._futures import FuturesExecutor
from proxyhpo.executors._in_process import InProcessExecutor
from proxyhpo.executors._interface import Executor
from proxyhpo.executors._processes import ProcessExecutor
from proxyhpo.executors._ray_core import RayExecutor

__all__ = [
    "Died",
    "Ended",
    "Executor",
    "Finished",
    "FuturesExecutor",
    "Hear",
    "InProcessExecutor",
    "Job",
    "Outcome",
    "ProcessExecutor",
    "RayExecutor",
    "Reported",
    "RunId",
    "Work",
]
