"""The climb: the loop that submits jobs, waits for their outcomes, and records them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from proxyhpo._engine.giving_up import Judge
from proxyhpo._engine.interruption import Interruption
from proxyhpo._engine.limits import Limits, Remaining
from proxyhpo._engine.notifier import Notifier
from proxyhpo._engine.stopping import CurveWatch, Stoppers
from proxyhpo._engine.study import Study
from proxyhpo._isolation import isolated
from proxyhpo._records.records import Record
from proxyhpo._runs import Died, Ended, Finished, Hear, Job, Outcome, Reported, RunId, Work
from proxyhpo.callbacks._interface import AnyCallback
from proxyhpo.executors import Executor

__all__ = ["climb", "settle"]

logger = logging.getLogger("proxyhpo")


def climb(
    study: Study,
    work: Work,
    executor: Executor,
    limits: Limits,
    *,
    stoppers: Stoppers = Stoppers(),  # noqa: B008 - frozen
    callbacks: Sequence[AnyCallback] = (),
    stopping: Callable[[], bool] = lambda: False,
    interruption: Interruption | None = None,
) -> bool:
    """Runs a study until it is complete or reaches a limit.

    After Ctrl-C no new training starts, and the running ones finish (see
    :mod:`~proxyhpo._engine.interruption`). When time runs out, or an exception is raised, running
    trainings are ended. They remain unfinished in the store and run again with the same seeds.

    Args:
        study: provides the jobs and records the outcomes.
        work: what the trainings share.
        executor: runs the trainings.
        limits: when to end.
        stoppers: end trainings early.
        callbacks: notified of every training.
        stopping: called after every report and record; True ends the climb.
        interruption: handles signals. By default they are not handled.

    Returns:
        Whether the study is complete: neither stopped nor out of time.

    Raises:
        EvaluatorError: see :class:`~proxyhpo._engine.giving_up.Judge`.
        TrainingFailedError: see :class:`~proxyhpo._engine.giving_up.Judge`.
        KeyboardInterrupt: at the second Ctrl-C.
    """
    interruption = interruption or Interruption()
    remaining = Remaining(study, limits, executor)
    judge = Judge(study)
    watch = CurveWatch(study, stoppers)
    notifier = Notifier(callbacks)
    listener = _Listener(
        watch, notifier, interruption, is_over=lambda: stopping() or remaining.is_up
    )
    running: dict[RunId, Job] = {}
    with (
        interruption.draining(executor.drain),
        _interrupted(running, notifier),
        _started(executor, work, listener),
    ):
        while not (stopping() or remaining.is_up):
            interruption.check()
            more = _decided(study, remaining, executor, running, ordered=limits.ordered)
            while not interruption.is_ending and (job := next(more, None)) is not None:
                running[job.id] = job
                watch.begin(job)
                notifier.start(job)
                executor.submit(job)
            if not running:
                return not remaining.is_cut and not interruption.is_ending
            ended = executor.wait_any(remaining.seconds)
            if ended is None:
                if interruption.is_ending:  # the remaining jobs have not started
                    return False
                continue
            job = ended.job
            if isinstance(ended, Died) and study.deaths(job) < limits.max_retries:
                study.retry(job, ended.reason, ended.seconds)
                logger.warning(
                    "the worker of %s died (%s); the training is repeated",
                    _name(job.id),
                    ended.reason,
                )
                notifier.interrupt(job, ended.reason)
                watch.begin(job)
                notifier.start(job)
                executor.submit(job)
                continue
            watch.end(job)
            if job.id not in listener.abandoned:
                outcome = _outcome(ended)
                judge.check(outcome)
                record = settle(study, job, outcome)
                del running[job.id]
                notifier.end(job, record)
                judge.consider(record)
        return False


@contextmanager
def _interrupted(running: Mapping[RunId, Job], notifier: Notifier) -> Iterator[None]:
    """Notifies callbacks of the trainings that ended without a record."""
    try:
        yield
    finally:
        for job in running.values():
            notifier.interrupt(job, "the study was ended")


@contextmanager
def _started(executor: Executor, work: Work, hear: Hear) -> Iterator[None]:
    try:  # a second Ctrl-C may arrive while workers start
        executor.start(work, hear)
        yield
    finally:
        executor.shutdown()


def settle(study: Study, job: Job, outcome: Outcome) -> Record:
    """Records an outcome and logs it."""
    record = study.finish(job, outcome)
    _log(record)
    return record


class _Listener:
    """Receives every report and returns whether its training must end.

    A training that ends because the climb is over, not because of a stopper, is *abandoned*: it
    remains unfinished in the store.
    """

    def __init__(
        self,
        watch: CurveWatch,
        notifier: Notifier,
        interruption: Interruption,
        is_over: Callable[[], bool],
    ) -> None:
        self._watch = watch
        self._notifier = notifier
        self._interruption = interruption
        self._is_over = is_over
        self.abandoned: set[RunId] = set()

    def __call__(self, job: Job, reported: Reported) -> bool:
        self._interruption.check()
        self._notifier.report(job, reported.report)
        if self._watch.hear(job, reported.report.value):
            return True
        if self._is_over():
            self.abandoned.add(job.id)
            return True
        return False


def _decided(
    study: Study,
    remaining: Remaining,
    executor: Executor,
    running: Mapping[RunId, Job],
    *,
    ordered: bool,
) -> Iterator[Job]:
    """Yields the jobs that may start now."""
    if ordered:
        size = min(executor.capacity, remaining.places(running))
        if not running and size:
            with isolated():
                batch = study.next_batch(remaining.decide_n_trials, size, remaining.affords)
            yield from batch
        return
    while len(running) < executor.capacity + executor.ahead and remaining.places(running):
        with isolated():
            job = study.next_job(remaining.decide_n_trials, remaining.affords)
        if job is None:
            return
        yield job


def _outcome(ended: Ended) -> Outcome:
    if isinstance(ended, Finished):
        return ended.outcome
    return Outcome(seconds=ended.seconds, reason=ended.reason)


def _name(run: RunId) -> str:
    return f"trial {run.trial}"


def _log(record: Record) -> None:
    """Logs one line. Its fields are also attributes of the log record, for structured handlers."""
    where = f"{_name(record.id)} at rung {record.rung}"
    fields = {
        "trial": record.trial,
        "rung": record.rung,
        "state": record.state,
        "value": record.value,
        "config": record.config,
        "reason": record.reason,
        "traceback": record.traceback,
    }
    if record.reason is None:
        text = "%s %s: %g with %s"
        logger.info(text, where, record.state, record.value, record.config, extra=fields)
    else:
        text = "%s failed: %s (config %s)"
        logger.warning(text, where, record.reason, record.config, extra=fields)
