"""A training run: what identifies it, what it is asked to do, and what comes of it.

The engine and the executors both build on this package, and it on neither of them.
"""

from proxyhpo._records.run_id import RunId
from proxyhpo._runs.job import Died, Ended, Finished, Hear, Job, Outcome, Reported, unheard
from proxyhpo._runs.work import Work

__all__ = [
    "Died",
    "Ended",
    "Finished",
    "Hear",
    "Job",
    "Outcome",
    "Reported",
    "RunId",
    "Work",
    "unheard",
]
