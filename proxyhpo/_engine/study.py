"""A study: its state, and which training runs next.

The state follows from the events of a store (a trial proposed, a rung opened, a trial promoted, a
training ended), so a study is resumed by replaying them. Every decision is committed before it is
acted on.
"""

from __future__ import annotations

import logging
import math
import re
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from proxyhpo._engine.checkpoints import Checkpoints
from proxyhpo._engine.outlook import Outlook
from proxyhpo._engine.parts import Parts
from proxyhpo._engine.promotion import Promotions
from proxyhpo._engine.proposals import Proposals
from proxyhpo._engine.recording import record_of
from proxyhpo._engine.replayed import check_replayed
from proxyhpo._engine.rungs import Rungs
from proxyhpo._engine.standing import Standing
from proxyhpo._engine.state import State, check_event
from proxyhpo._records.known import KnownResult
from proxyhpo._records.records import Config, Death, Record
from proxyhpo._runs import Job, Outcome, RunId
from proxyhpo._store import Store
from proxyhpo.errors import ArgumentError, StoreError
from proxyhpo.transfers._exponents import transferred

__all__ = ["Study"]

logger = logging.getLogger("proxyhpo")

_WEIGHTS = re.compile(r"trial-\d+-rung-\d+(-replicate-\d+)?")  # other files are left alone


class Study:
    """Decides on jobs and records their outcomes. Each step is written before the next one starts.

    Args:
        parts: the parts of the study.
        store: its existing events are replayed.
        enqueued: configs to try before the searcher is asked. Each is tried once.
        known: results of the full network that need no training.
    """

    def __init__(
        self,
        parts: Parts,
        store: Store,
        enqueued: Iterable[Config] = (),
        known: Iterable[KnownResult] = (),
    ) -> None:
        self.parts = parts
        self.state = State.replay(len(parts.ladder), store.events())
        self.history = self.state.history
        check_replayed(self.history, parts)
        self._store = store
        self._may_be_behind = False
        """Whether the store may contain an event that the state lacks, and that must not be written
        a second time."""
        self._drop_old_weights()
        self._known = deque(known)
        self._unfinished = deque(self.state.unfinished)
        self._proposals = Proposals(parts, self.history, self._write, enqueued)
        self._rungs = Rungs(parts, self.history, self._write)
        self._promotions = Promotions(parts, self.state)
        self.outlook = Outlook(parts, self.state, self._promotions)
        self._checkpoints = Checkpoints(store.checkpoints) if parts.checkpoints else None
        if self._checkpoints is not None:
            self._checkpoints.keep(self._unfinished)
        self._take_known()

    @property
    def is_exhausted(self) -> bool:
        """Whether the searcher has nothing left to propose."""
        return self._proposals.exhausted

    @property
    def n_further(self) -> float:
        """How many more configs the searcher can propose, at least; 0 if it has none left."""
        return self._proposals.n_further

    @property
    def has_finalists_left(self) -> bool:
        """Whether a limit left out finalists, controls, or other trials that would climb."""
        return bool(self._promotions.next(0) or self._promotions.control(0))

    @property
    def n_repeats_left(self) -> int:
        """How many trainings under further seeds a limit left out."""
        return len(self._promotions.repeats())

    @property
    def top(self) -> int:
        """The index of the last rung, the full network."""
        return self.parts.top

    def enqueue(self, config: Config) -> None:
        """Adds a config to try before the searcher's proposals, unless it was tried before."""
        self._proposals.enqueue(config)

    def add(self, result: KnownResult) -> None:
        """Adds a known result, unless the config has been tried here or its result is known."""
        self._known.append(result)

    def _take_known(self) -> None:
        while self._known:
            result = self._known.popleft()
            if not self.history.has(result.config):
                self._write("known", result.to_json())

    def next_job(
        self, decide_n_trials: Callable[[], float], affords: Callable[[int], bool] = lambda _: True
    ) -> Job | None:
        """The next training to run, or None until more outcomes are known.

        Args:
            decide_n_trials: the total number of trials that enter rung 0. Not called for a training
                that has started before: an uninterrupted study would decide after its end.
            affords: whether so many trainings under further seeds may start.
        """
        self._take_known()
        if self._unfinished:
            return self._job(self._unfinished.popleft())
        n_trials = decide_n_trials()
        job = self._promotion(n_trials) or self._new_trial(n_trials)
        if job is None and self._proposals.exhausted:  # then more promotions may be certain
            job = self._promotion(n_trials)
        return job or self._control(n_trials) or self._repeat(n_trials, affords)

    def next_batch(
        self,
        decide_n_trials: Callable[[], float],
        size: int,
        affords: Callable[[int], bool] = lambda _: True,
    ) -> list[Job]:
        """The next trainings to run, all decided before any of them starts.

        The decisions therefore do not depend on which training ends first. After a killed run, its
        last batch is completed before the next one is decided.
        """
        jobs = [self._job(run) for run in self._unfinished]
        self._unfinished.clear()
        if not jobs or self.state.batch_is_open:
            while len(jobs) < size:
                job = self.next_job(decide_n_trials, affords)
                if job is None:
                    break
                jobs.append(job)
            if jobs:
                self._write("batch", {"size": len(jobs)})
        return jobs

    def finish(self, job: Job, outcome: Outcome) -> Record:
        """Records the outcome of a job and returns the record."""
        record = record_of(job, outcome, self.parts)
        self._add(record, outcome)
        self.outlook.tell_of_fixed_share(record)
        if self._checkpoints is not None:  # until it is recorded, it may be resumed
            self._checkpoints.drop(job.id)
        for warning in record.correction.warnings if record.correction else ():
            warnings.warn(warning, stacklevel=2)
        return record

    def _add(self, record: Record, outcome: Outcome) -> None:
        kept = _names(self.state.leaders)
        after = _names(self.state.leaders_with(record))
        if outcome.weights is not None and record.id.name in after:
            # Weights are saved before the record that refers to them is written.
            self._store.save_weights(record.id.name, outcome.weights)
        self._write("record", record.to_json())
        for name in kept - after:
            self._store.drop_weights(name)

    def _drop_old_weights(self) -> None:
        """Drops weights left by a killed run: without a record, or of a trial no longer leading."""
        kept = _names(self.state.leaders)
        for name in self._store.weights():
            if _WEIGHTS.fullmatch(name) and name not in kept:
                self._store.drop_weights(name)

    def deaths(self, job: Job) -> int:
        """How often the worker of a job has died, including earlier runs."""
        return sum(death.id == job.id for death in self.history.deaths)

    def retry(self, job: Job, reason: str, seconds: float) -> None:
        """Records that a worker died and that its job is tried again."""
        run = job.id
        death = Death(run.trial, run.rung, run.replicate, reason, seconds)
        self._write("death", death.to_json())

    def prepare(self, spent: float = 0.0) -> None:
        """Measures, plans and opens what the first trainings need; see :meth:`Rungs.prepare`.

        Args:
            spent: seconds already spent on the full network.
        """
        self._rungs.prepare(spent)
        self._rungs.ensure_open(self.top)
        self._rungs.ensure_open(0)

    def expected_trainings(self, n_trials: float) -> list[int] | None:
        """Expected number of trainings on each rung, if none fails; None without a limit."""
        n_trials = len(self.history.trials) + self._to_come(n_trials)
        if n_trials == math.inf:
            return None
        to_come = self._to_enter(n_trials)
        entering = len(self.state.entered[0]) + to_come
        places = [self._promotions.places(rung, to_come) for rung in range(1, self.top + 1)]
        expected = [int(entering), *(int(min(number, entering)) for number in places)]
        # Trials that do not enter rung 0 start on the full network.
        expected[-1] += int(n_trials - entering) + self.parts.controls
        lost = sum(record.state != "finished" for record in self.state.ended[self.top].values())
        if expected[-1] - lost > 1:  # only the best of several trials are repeated
            expected[-1] += self._promotions.expected_repeats(to_come)
        return expected

    def _to_come(self, n_trials: float) -> float:
        """How many more trials may be proposed."""
        return 0.0 if self._proposals.exhausted else max(0.0, n_trials - len(self.history.trials))

    def _to_enter(self, n_trials: float) -> float:
        """How many more trials may enter rung 0."""
        return 0.0 if self.state.why_full else self._to_come(n_trials)

    def _decide_on_proxies(self, n_trials: float) -> bool:
        """Decides whether the next trial starts on a proxy.

        Once proxies save too little, this warns, records the reason, and every later trial trains
        the full network.
        """
        if self.state.why_full or not self.parts.may_leave_proxies:
            return not self.state.why_full
        why = self.outlook.why_leave(self._rungs.step_ratio, n_trials)
        if why:
            logger.warning(why)
            self._write("full", {"why": why})
        return not why

    def close_search(self, limit: str, value: float) -> None:
        """Records that no new trial may start for this limit; see :meth:`State.is_closed`."""
        if not self.state.is_closed(limit, value):
            self._write("closed", {limit: value})

    def _promotion(self, n_trials: float) -> Job | None:
        to_come = self._to_enter(n_trials)
        run = self._promotions.early(to_come, self.outlook.doubts_proxies)
        if run is not None:
            return self._promoted(run, early=True)
        run = self._promotions.next(to_come)
        return None if run is None else self._promoted(run)

    def _control(self, n_trials: float) -> Job | None:
        run = self._promotions.control(self._to_enter(n_trials))
        return None if run is None else self._promoted(run, control=True)

    def _repeat(self, n_trials: float, affords: Callable[[int], bool]) -> Job | None:
        """The first of the trainings that distinguish the best two; the other one follows."""
        runs = [] if self._to_come(n_trials) else self._promotions.repeats()
        if not runs or not affords(len(runs)):
            return None
        self._write("repeats", {"runs": [[run.trial, run.replicate] for run in runs]})
        self._unfinished.extend(runs[1:])
        return self._job(runs[0])

    def _promoted(self, run: RunId, **why: bool) -> Job:
        # The rung opens first, since its exponents depend on the history at that time.
        self._rungs.ensure_open(run.rung)
        self._write("promotion", {"trial": run.trial, "rung": run.rung, **why})
        return self._job(run)

    def _new_trial(self, n_trials: float) -> Job | None:
        if len(self.history.trials) >= n_trials:
            return None
        rung = 0 if self._decide_on_proxies(n_trials) else self.top
        trial = self._proposals.commit({} if rung == 0 else {"rung": rung})
        return None if trial is None else self._job(RunId(trial, rung))

    def _job(self, run: RunId) -> Job:
        config = self.history.trials[run.trial].config
        exponents = self._rungs.ensure_open(run.rung).exponents
        ratio = self._rungs.own_width_ratio(run.rung, config) if exponents else 1.0
        return Job(
            id=run,
            config=config,
            trained_config=transferred(config, exponents, ratio),
            density=self._rungs.ensure_measured(run.rung).density,
            budget=self.parts.ladder[run.rung].budget,
            seed=self.parts.seed,
            keep_weights=run.rung == self.top,
            checkpoint_dir=None if self._checkpoints is None else self._checkpoints.make(run),
        )

    def _write(self, kind: str, body: Mapping[str, Any]) -> None:
        check_event(kind, body)  # an unreadable event would make the store unusable
        if self._may_be_behind:
            raise StoreError(
                "an exception, such as Ctrl-C, interrupted the study while it was written: call "
                "close() and continue; all trainings that have ended are kept"
            )
        self._may_be_behind = True
        try:
            self._store.append(kind, body)
        except (ArgumentError, StoreError):  # then nothing was written
            self._may_be_behind = False
            raise
        self.state.apply(kind, body)
        self._may_be_behind = False


def _names(leaders: Iterable[Standing]) -> set[str]:
    """The trainings whose weights are kept: the best one of each leading trial."""
    return {each.best.id.name for each in leaders}
