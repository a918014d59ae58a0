"""A training run: its id, its job, and its outcome.

The engine and the executors both depend on this package, which depends on neither.
"""

from proxyhpo._records.run_id import RunId
from proxyhpo._runs.job import Died, Ended, Finished, Hear, Job, Outcome, Reported, unheard
from proxyhpo._runs.work import Work, import_compiler

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
    "import_compiler",
    "unheard",
]
