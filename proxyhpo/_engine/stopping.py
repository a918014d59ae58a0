"""Follows the trainings that run, and ends those that a stopper says are not worth continuing.

A training is compared with its peers: those at its rung that had ended when it was handed out, as
the study's events tell. Which trainings run beside it, and whether the study has been resumed
since, therefore does not matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from proxyhpo._runs import Job, RunId
from proxyhpo.stoppers import Curve, Stopper

if TYPE_CHECKING:
    from proxyhpo._engine.study import Study

__all__ = ["CurveWatch", "Stoppers"]


@dataclass(frozen=True)
class Stoppers:
    """The stopper of trainings below the full network, and that of trainings of it, if any.

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
class _Watched:
    stopper: Stopper
    peers: Sequence[Curve]
    last: int
    losses: Curve = field(default_factory=Curve)

    def is_stopped_after(self, loss: float) -> bool:
        self.losses.append(loss)
        # Where no peer has got further there is nothing to compare with, and little to be saved.
        return len(self.losses) < self.last and self.stopper.should_stop(self.losses, self.peers)


class CurveWatch:
    """The curves of the trainings that run, as far as there is a stopper for them.

    Args:
        study: whose trainings they are.
        stoppers: asked after each report.
    """

    def __init__(self, study: Study, stoppers: Stoppers) -> None:
        self._study = study
        self._stoppers = stoppers
        self._running: dict[RunId, _Watched] = {}
        self._ended: dict[int, list[Curve | None]] = {}

    def begin(self, job: Job) -> None:
        """A training is handed out, for the first time or once more."""
        if (watched := self._watched(job)) is not None:
            self._running[job.id] = watched

    def hear(self, job: Job, value: float) -> bool:
        """Whether the training is to end after this value."""
        watched = self._running.get(job.id)
        return watched is not None and watched.is_stopped_after(self._study.parts.loss(value))

    def end(self, job: Job) -> None:
        """A training has ended."""
        self._running.pop(job.id, None)

    def judge(self, job: Job, values: Sequence[float]) -> bool:
        """Whether a training that the caller runs is to end after the last of these values."""
        watched = self._watched(job)
        if watched is None:
            return False
        *before, last = map(self._study.parts.loss, values)
        for loss in before:
            watched.losses.append(loss)
        return watched.is_stopped_after(last)

    def _watched(self, job: Job) -> _Watched | None:
        """What a training's losses are judged by, or None if nothing stops it."""
        stopper = self._stopper(job)
        if stopper is None:
            return None
        peers = self._peers(job.id)
        return _Watched(stopper, peers, max(map(len, peers), default=0))

    def _stopper(self, job: Job) -> Stopper | None:
        run, stoppers = job.id, self._stoppers
        if stoppers.below is stoppers.top is None:
            return None
        if run.rung < self._study.top:
            return stoppers.below
        # A control shows what the full network makes of it, which half a training cannot.
        return None if run.trial in self._study.state.controls else stoppers.top

    def _peers(self, run: RunId) -> list[Curve]:
        """The curves of those that had ended at its rung when it entered; failed ones have none."""
        state, loss = self._study.state, self._study.parts.loss
        known, ended = self._ended.setdefault(run.rung, []), state.ended[run.rung]
        for record in islice(ended.values(), len(known), None):
            failed = record.state == "failed" or not record.reports
            known.append(None if failed else Curve(map(loss, record.values)))
        count = state.entered[run.rung][run.trial]
        return [curve for curve in islice(known, count) if curve is not None]
