"""The progress of a study, and the predicted remaining time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proxyhpo._progress.time_left import TimeLeft, time_left
from proxyhpo._records.records import Record
from proxyhpo._report.cost import Cost, cost_of
from proxyhpo._report.wording import rung_words

if TYPE_CHECKING:
    from proxyhpo._engine.study import Study
    from proxyhpo._runs import RunId

__all__ = ["RungStatus", "Status", "duration_words", "status_of"]


@dataclass(frozen=True)
class RungStatus:
    """The progress of one rung.

    Args:
        words: what is trained there.
        expected: final number of trainings; None if the number of trials has no limit.
        finished: trainings that succeeded.
        stopped: trainings that were stopped early.
        failed: trainings that failed.
        running: trainings that have started and not ended.
    """

    words: str
    expected: int | None
    finished: int
    stopped: int
    failed: int
    running: int

    @property
    def ended(self) -> int:
        """Trainings that have ended for any reason."""
        return self.finished + self.stopped + self.failed

    @property
    def open(self) -> int:
        """Trainings that are expected and have not ended, as far as is known."""
        return max(self.running, (self.expected or 0) - self.ended)


@dataclass(frozen=True)
class Status:
    """How far a study has come.

    Args:
        rungs: one entry for each rung, the cheapest first.
        best: value of the best trial of the full network, the mean over its seeds; None until
            there is one.
        cost: so far.
        seconds_left: predicted, None while nothing is known.
        is_late: whether only running trainings are left, and one of them has taken longer than
            predicted. The remaining time is then unknown.
    """

    rungs: Sequence[RungStatus]
    best: float | None
    cost: Cost
    seconds_left: float | None
    is_late: bool = False

    @property
    def ended(self) -> int:
        """Trainings that have ended on all rungs."""
        return sum(rung.ended for rung in self.rungs)

    @property
    def expected(self) -> int | None:
        """Trainings on all rungs at the end; None if the number of trials has no limit."""
        known = [rung.expected for rung in self.rungs if rung.expected is not None]
        return sum(known) if len(known) == len(self.rungs) else None

    @property
    def running(self) -> int:
        """Trainings that have started and not ended."""
        return sum(rung.running for rung in self.rungs)

    @property
    def failed(self) -> int:
        """Trainings that failed."""
        return sum(rung.failed for rung in self.rungs)

    def facts(self, *, left: bool = True) -> list[str]:
        """What is known besides the counts of each rung, in a few words each.

        Args:
            left: whether to say how long the rest takes.
        """
        found = [] if self.best is None else [f"best {self.best:.5g}"]
        if self.cost.base_trainings is not None:
            found.append(f"cost {self.price}")
        if self.failed:
            found.append(f"{self.failed} failed")
        if left and self.time_left:
            found.append(self.time_left)
        return found

    @property
    def price(self) -> str:
        """The cost so far, and the estimated cost of a full search of the same trials.

        The estimate is no limit. It falls if a full training shows that it was too high.
        """
        spent, full = self.cost.base_trainings, self.cost.full_search_base_trainings
        if spent is None or full is None:
            return duration_words(self.cost.seconds)
        words = f"{spent:.3g} base trainings"
        if self.cost.is_full_search:
            return words
        return f"{words} (full search so far: an estimated {full:.3g})"

    @property
    def time_left(self) -> str:
        """How much longer the search takes; empty if that is unknown."""
        if self.is_late:
            return "time left unknown"
        if self.seconds_left is None:
            return ""
        return f"{duration_words(self.seconds_left)} left"


def status_of(
    study: Study,
    n_trials: float,
    started: Mapping[RunId, float],
    workers: int,
    time_limit: float | None = None,
) -> Status:
    """The status of a study that runs.

    Args:
        study: to describe.
        n_trials: total number of trials; infinite if only a budget ends the search.
        started: the running trainings, and for how many seconds each has run.
        workers: number of trainings that run at the same time.
        time_limit: seconds until the run must end; None if it has no limit of time.
    """
    parts, history = study.parts, study.history
    by_rung: list[list[Record]] = [[] for _ in parts.ladder]
    for record in history.records:
        by_rung[record.rung].append(record)
    rungs = []
    expected = study.expected_trainings(n_trials)
    for rung, records in enumerate(by_rung):
        states = [record.state for record in records]
        running = sum(run.rung == rung for run in started)
        rungs.append(
            RungStatus(
                words=rung_words(history, parts.ladder, rung),
                expected=max(len(states) + running, expected[rung]) if expected else None,
                finished=states.count("finished"),
                stopped=states.count("stopped"),
                failed=states.count("failed"),
                running=running,
            )
        )
    n_open = [rung.open for rung in rungs]
    left = time_left(study, n_open, by_rung, started, workers) if expected else TimeLeft()
    return Status(
        rungs=rungs,
        best=study.state.leaders[0].value if study.state.leaders else None,
        cost=cost_of(history, parts.ladder, study.state.search_seconds),
        seconds_left=min((s for s in (left.seconds, time_limit) if s is not None), default=None),
        is_late=left.is_late,
    )


def duration_words(seconds: float) -> str:
    """A duration in seconds, minutes or hours.

    >>> duration_words(7.2), duration_words(100), duration_words(5400)
    ('8 s', '1 min 40 s', '1 h 30 min')
    """
    whole = math.ceil(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
