"""The record of a training that has ended."""

from __future__ import annotations

import time

from proxyhpo._engine.parts import Parts
from proxyhpo._records.records import Record
from proxyhpo._runs import Job, Outcome

__all__ = ["record_of"]


def record_of(job: Job, outcome: Outcome, parts: Parts) -> Record:
    """The record of a job with this outcome, which ended now.

    Args:
        job: of the training.
        outcome: of the training.
        parts: of the study.
    """
    value = parts.value(outcome)
    return Record(
        trial=job.id.trial,
        rung=job.id.rung,
        replicate=job.id.replicate,
        config=job.config,
        trained_config=job.trained_config,
        state="failed" if value is None else "stopped" if outcome.stopped else "finished",
        value=value,
        loss=None if value is None else parts.loss(value),
        reports=outcome.reports,
        seconds=outcome.seconds,
        overhead_seconds=outcome.overhead_seconds,
        reason=outcome.reason,
        traceback=outcome.traceback,
        correction=outcome.correction,
        width_ratio=outcome.width_ratio,
        backward_passes=outcome.backward_passes,
        started_at=outcome.started_at,
        ended_at=time.time(),
    )
