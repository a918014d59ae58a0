"""Watches the running trainings, and ends those that a stopper stops.

A training is compared with its peers: the trainings of its rung that had ended when it was
submitted, according to the study's events. The comparison therefore does not depend on which
trainings run at the same time, nor on whether the study was resumed.
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
    """The stoppers of a study: for trainings of proxies, and for trainings of the full network.

    ``automatic`` says that ``below`` is the default, which may change between runs.
    """

    below: Stopper | None = None
    top: Stopper | None = None
    automatic: bool = False

    @property
    def given(self) -> dict[str, Stopper]:
        """The stoppers that the user chose, by argument name."""
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
        # If no peer has trained longer, there is nothing to compare with and little to save.
        return len(self.losses) < self.last and self.stopper.should_stop(self.losses, self.peers)


class CurveWatch:
    """The learning curves of the running trainings that a stopper may end.

    Args:
        study: whose trainings are followed.
        stoppers: called after each report.
    """

    def __init__(self, study: Study, stoppers: Stoppers) -> None:
        self._study = study
        self._stoppers = stoppers
        self._running: dict[RunId, _Watched] = {}
        self._ended: dict[int, list[Curve | None]] = {}

    def begin(self, job: Job) -> None:
        """Called when a training is submitted, also when it is retried."""
        if (watched := self._watched(job)) is not None:
            self._running[job.id] = watched

    def hear(self, job: Job, value: float) -> bool:
        """Whether the training must end after this value."""
        watched = self._running.get(job.id)
        return watched is not None and watched.is_stopped_after(self._study.parts.loss(value))

    def end(self, job: Job) -> None:
        """Called when a training has ended."""
        self._running.pop(job.id, None)

    def judge(self, job: Job, values: Sequence[float]) -> bool:
        """Whether a training run by the caller should end after the last of these values."""
        watched = self._watched(job)
        if watched is None:
            return False
        *before, last = map(self._study.parts.loss, values)
        for loss in before:
            watched.losses.append(loss)
        return watched.is_stopped_after(last)

    def _watched(self, job: Job) -> _Watched | None:
        """The stopper and the peers of a training, or None if no stopper applies."""
        stopper = self._stopper(job)
        if stopper is None:
            return None
        peers = self._peers(job.id)
        return _Watched(stopper, peers, max(map(len, peers), default=0))

    def _stopper(self, job: Job) -> Stopper | None:
        run, stoppers = job.id, self._stoppers
        # Trainings under a further seed must be comparable with the first one.
        if stoppers.below is stoppers.top is None or run.replicate:
            return None
        state = self._study.state
        if run.rung < self._study.top or (state.why_full and run.trial not in state.entered[0]):
            return stoppers.below
        # A control measures the full network's value, which a stopped training does not give.
        return None if run.trial in state.history.controls else stoppers.top

    def _peers(self, run: RunId) -> list[Curve]:
        """The curves of trainings that ended on its rung before it entered, except failed ones."""
        state, loss = self._study.state, self._study.parts.loss
        known, ended = self._ended.setdefault(run.rung, []), state.ended[run.rung]
        for record in islice(ended.values(), len(known), None):
            failed = record.state == "failed" or not record.reports
            known.append(None if failed else Curve(map(loss, record.values)))
        count = state.entered[run.rung][run.trial]
        return [curve for curve in islice(known, count) if curve is not None]
