"""Follows the trainings that run, and ends those that a stopper says are not worth going on with.

A training is compared with its peers: those at its rung that had ended when it was handed out, as
the study's events tell. Which trainings run beside it, and whether the study has been resumed
since, therefore does not matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from proxyhpo._engine.work import Job, Outcome, numbers_of
from proxyhpo.stoppers import Curve, Stopper

if TYPE_CHECKING:
    from proxyhpo._engine.study import Study
    from proxyhpo.executors import Reported

__all__ = ["Stoppers", "Watch"]


@dataclass(frozen=True)
class Stoppers:
    """Who ends trainings below the full network, and who ends those of it; None for nobody.

    ``automatic`` says that the first one was not given by name, and may change between runs.
    """

    below: Stopper | None = None
    top: Stopper | None = None
    automatic: bool = False

    @property
    def given(self) -> dict[str, Stopper]:
        """Those that were asked for, by the name of the argument."""
        both = {"stopper": None if self.automatic else self.below, "finalist_stopper": self.top}
        return {name: stopper for name, stopper in both.items() if stopper is not None}


@dataclass
class _Run:
    stopper: Stopper
    peers: Sequence[Curve]
    last: int
    losses: Curve = field(default_factory=Curve)
    reports: list[float] = field(default_factory=list)

    def hears(self, loss: float) -> bool:
        """Whether it ends after this loss."""
        self.losses.append(loss)
        # Where no peer has got further there is nothing to compare with, and little to be saved.
        return len(self.losses) < self.last and self.stopper.should_stop(self.losses, self.peers)


class Watch:
    """The curves of the trainings that run, as far as there is a stopper for them.

    Args:
        study: whose trainings they are.
        stoppers: asked after each report.
    """

    def __init__(self, study: Study, stoppers: Stoppers) -> None:
        self._study = study
        self._stoppers = stoppers
        self._running: dict[tuple[int, int, int], _Run] = {}
        self._ended: dict[int, list[Curve | None]] = {}

    def begin(self, job: Job) -> None:
        """A training is handed out, for the first time or once more."""
        if (run := self._run(job)) is not None:
            self._running[job.key] = run

    def hears(self, event: Reported) -> Outcome | None:
        """What came of the training if it is to end now, else None."""
        run = self._running.get(event.job.key)
        if run is None:
            return None
        value = float(event.report.value)
        run.reports.append(value)
        if not run.hears(self._study.loss(value)):
            return None
        return Outcome(
            value=value,
            reports=tuple(run.reports),
            metrics=numbers_of(event.report),
            seconds=event.seconds,
            overhead_seconds=event.overhead_seconds,
        )

    def end(self, job: Job) -> None:
        """A training has ended."""
        self._running.pop(job.key, None)

    def judges(self, job: Job, values: Sequence[float]) -> bool:
        """Whether a training that runs elsewhere is to end after the last of these values."""
        run = self._run(job)
        if run is None:
            return False
        *before, last = map(self._study.loss, values)
        for loss in before:
            run.losses.append(loss)
        return run.hears(last)

    def _run(self, job: Job) -> _Run | None:
        """What a training's losses are judged by, or None if nobody ends it."""
        stopper = self._stopper(job)
        if stopper is None:
            return None
        peers = self._peers(job)
        return _Run(stopper, peers, max(map(len, peers), default=0))

    def _stopper(self, job: Job) -> Stopper | None:
        if job.probe or self._stoppers.below is self._stoppers.top is None:
            return None
        if job.rung < self._study.top:
            return self._stoppers.below
        # A control shows what the full network makes of it, which half a training cannot.
        return None if job.trial in self._study.state.controls else self._stoppers.top

    def _peers(self, job: Job) -> list[Curve]:
        """The curves of those that had ended at its rung when it entered; failed ones have none."""
        state = self._study.state
        known, ended = self._ended.setdefault(job.rung, []), state.ended[job.rung]
        for record in islice(ended.values(), len(known), None):
            failed = record.state == "failed" or not record.reports
            known.append(None if failed else Curve(map(self._study.loss, record.reports)))
        count = state.entered[job.rung][job.trial]
        return [curve for curve in islice(known, count) if curve is not None]
