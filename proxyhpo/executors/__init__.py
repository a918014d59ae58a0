"""Executors run trainings: here, in other processes, or on other machines.

An executor is told once what all trainings of a study share (
a ``Work``), is handed one ``Job`` at a time, and
says what came of it. It decides nothing: proposals, promotions, stopping and the store belong to
the study process alone.
"""

from proxyhpo.executors._futures import FuturesExecutor
from proxyhpo.executors._in_process import InProcessExecutor
from proxyhpo.executors._interface import Died, Event, Executor, Finished, Reported
from proxyhpo.executors._processes import ProcessExecutor
from proxyhpo.executors._ray_core import RayExecutor

__all__ = [
    "Died",
    "Event",
    "Executor",
    "Finished",
    "FuturesExecutor",
    "InProcessExecutor",
    "ProcessExecutor",
    "RayExecutor",
    "Reported",
]
