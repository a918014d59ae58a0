"""A study: what is known, and what is to be done next.

Its state is a fold over the events of a store (a trial proposed, a rung opened, a trial promoted,
a training ended), so resuming is replaying. Everything is committed before it is acted on.
"""

from __future__ import annotations

import logging
import re
import time
import warnings
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from proxyhpo._engine.checkpoints import Checkpoints
from proxyhpo._engine.ladder import places, promotable
from proxyhpo._engine.opening import measure, opened, own_width_ratio, planned_probes
from proxyhpo._engine.parts import Parts
from proxyhpo._engine.prediction import climb_seconds
from proxyhpo._engine.replayed import check_replayed
from proxyhpo._engine.state import State, check_event
from proxyhpo._records.records import Config, Death, Opening, Record
from proxyhpo._runs import Job, Outcome, RunId
from proxyhpo._seeding import seed_sequence
from proxyhpo._store import Store
from proxyhpo.errors import ArgumentError
from proxyhpo.searchers import check_proposals
from proxyhpo.transfers import transferred

__all__ = ["Study"]

logger = logging.getLogger("proxyhpo")

_WEIGHTS = re.compile(r"trial-\d+-rung-\d+(-replicate-\d+)?")  # other names are not the study's


class Study:
    """Hands out jobs and takes their outcomes; writes each step down before the next.

    Args:
        parts: what it is made of.
        store: its events so far are replayed.
        enqueued: configs to try before the searcher is asked, once each.
    """

    def __init__(self, parts: Parts, store: Store, enqueued: Iterable[Config] = ()) -> None:
        self.parts = parts
        self.state = State.replay(len(parts.ladder), store.events())
        self.history = self.state.history
        check_replayed(self.history, parts)
        self._store = store
        self._drop_old_weights()
        self._enqueued = deque(enqueued)
        self._unfinished = deque(self.state.unfinished)
        self._probes = deque(self.state.unfinished_probes)
        self._is_planned = bool(self.history.probes) or 0 in self.history.openings
        self._exhausted = False
        self._spent: dict[int, float] = {}  # rung → seconds, before it was measured
        self._checkpoints = Checkpoints(store.checkpoints) if parts.checkpoints else None
        if self._checkpoints is not None:
            self._checkpoints.keep([*self._unfinished, *self._probes])

    @property
    def top(self) -> int:
        """The index of the last rung, the full network."""
        return self.parts.top

    def enqueue(self, config: Config) -> None:
        """Puts a config before what the searcher proposes, unless it has been tried already."""
        self._enqueued.append(config)

    def next_job(self, n_trials: float) -> Job | None:
        """What is to be done next, or None if nothing is until more outcomes are known.

        Args:
            n_trials: how many trials enter rung 0 in all.
        """
        if self._unfinished:
            return self._job(self._unfinished.popleft())
        if self.is_probing():
            return self._probe(self._probes.popleft()) if self._probes else None
        job = self._promotion(n_trials) or self._new_trial(n_trials)
        if job is None and self._exhausted:  # which may have made promotions certain
            job = self._promotion(n_trials)
        return job or self._control(n_trials)

    def next_batch(self, n_trials: float, size: int) -> list[Job]:
        """What is to be done next, decided all at once before any of it begins.

        So the decisions do not depend on which training ends first. A batch that a killed run had
        decided on is run to its end before the next one, and one half decided is completed.
        """
        jobs = [self._job(run) for run in self._unfinished]
        self._unfinished.clear()
        if not jobs or self.state.batch_is_open:
            while len(jobs) < size and (job := self.next_job(n_trials)) is not None:
                jobs.append(job)
            if jobs:
                self._write("batch", {"size": len(jobs)})
        return jobs

    def finish(self, job: Job, outcome: Outcome) -> Record:
        """Writes the outcome of a job down and returns its record."""
        value = outcome.value
        record = Record(
            trial=job.id.trial,
            rung=job.id.rung,
            replicate=job.id.replicate,
            config=job.config,
            trained_config=job.trained_config,
            state="failed" if value is None else "stopped" if outcome.stopped else "finished",
            value=value,
            loss=None if value is None else self.parts.loss(value),
            reports=outcome.reports,
            seconds=outcome.seconds,
            overhead_seconds=outcome.overhead_seconds,
            reason=outcome.reason,
            traceback=outcome.traceback,
            correction=outcome.correction,
            kind=job.id.kind,
        )
        self._add(record, outcome)
        if self._checkpoints is not None:  # after the record: until then it may be resumed
            self._checkpoints.drop(job.id)
        for warning in record.correction.warnings if record.correction else ():
            warnings.warn(warning, stacklevel=2)
        return record

    def _add(self, record: Record, outcome: Outcome) -> None:
        previous = self.state.best
        if outcome.weights is not None and self.state.is_better(record):
            # Before the record: what the record says is there, is there.
            self._store.save_weights(record.id.name, outcome.weights)
        self._write("record", record.to_json())
        if previous is not None and self.state.best is not previous:
            self._store.drop_weights(previous.id.name)

    def _drop_old_weights(self) -> None:
        """Drops what a killed run left: weights without a record yet, or no longer the best's."""
        best = self.state.best
        kept = None if best is None else best.id.name
        for name in self._store.weights():
            if _WEIGHTS.fullmatch(name) and name != kept:
                self._store.drop_weights(name)

    def deaths(self, job: Job) -> int:
        """How often the worker of a job has died, in earlier runs too."""
        return sum(death.id == job.id for death in self.history.deaths)

    def retry(self, job: Job, reason: str, seconds: float) -> None:
        """Writes down that a job is tried again, and what was lost."""
        run = job.id
        death = Death(run.trial, run.rung, run.replicate, reason, seconds, kind=run.kind)
        self._write("death", death.to_json())

    def is_probing(self) -> bool:
        """Whether the transfer still learns; rung 0 opens when all of its probes have ended.

        The first time it is asked, the probes are planned, and committed all at once.
        """
        if not self._is_planned:
            self._is_planned = True
            self._plan_probes()
        return bool(self.state.unfinished_probes)

    def open(self, rung: int) -> Opening:
        """What was measured when the rung opened; measured now, if it has not been opened yet."""
        if rung not in self.history.openings:
            measured = self.history.measurements.get(rung) or self._measure(rung)
            self._write("opening", opened(self.parts, measured, self.history).to_json())
        return self.history.openings[rung]

    def measured(self, rung: int) -> Opening:
        """What was measured of a rung that need not have opened, so that probes can be trained."""
        if rung == self.top or rung in self.history.openings:
            return self.open(rung)
        if rung not in self.history.measurements:
            self._write("measured", self._measure(rung).to_json())
        return self.history.measurements[rung]

    def _measure(self, rung: int) -> Opening:
        found = measure(self.parts, rung, None if rung == self.top else self.open(self.top))
        return replace(found, seconds=found.seconds + self._spent.pop(rung, 0.0))

    def _plan_probes(self) -> None:
        if not self.top:  # the full network alone: nothing follows a width
            return
        if probes := planned_probes(self.parts, self.measured):
            self._write("probes", {"probes": [probe.to_json() for probe in probes]})
            self._probes.extend(self.state.unfinished_probes)

    def prepare(self, spent: float = 0.0) -> None:
        """Opens both ends of the ladder, and makes a proxy of each rung below the full network.

        The first rung is only measured where the transfer has yet to learn from probes.

        So what cannot be pruned fails before any training; and the plan of how to prune, which may
        take longer to find than a small network to train, goes along to workers, also where what
        was measured is read from the store.

        Args:
            spent: seconds that went into the full network before this; its opening is charged.

        Raises:
            UnsupportedNetworkError: if no proxy can be made of the network.
            ArgumentError: if a rung's cost leads to a cheaper proxy than the rung below has.
        """
        self._spent[self.top] = spent
        stored = set(self.history.measured)
        self.open(self.top)
        if self.is_probing():
            self.measured(0)
        else:
            self.open(0)
        config = self.parts.space.resolve(self.parts.space.center())
        below = 0.0
        for rung, wanted in enumerate(self.parts.ladder):
            known = self.history.measured.get(rung)
            if known is None and wanted.cost is not None:
                known = self.measured(rung)
            density = wanted.density if known is None else known.density
            assert density is not None, "a rung has a density or a cost"
            if density < below and wanted.budget <= self.parts.ladder[rung - 1].budget:
                raise ArgumentError(
                    f"ladder: rung {rung} came out at density {density:.3g}, and rung {rung - 1} "
                    f"below it at {below:.3g}: it must not be cheaper"
                )
            below = density
            if density < 1 and (known is None or rung in stored):  # others were made to be measured
                seeds = seed_sequence("measuring", self.parts.seed, rung)
                began = time.perf_counter()
                self.parts.networks.network(config, density=density, seed=seeds)
                self._spent[rung] = time.perf_counter() - began

    def predicted_seconds(self, workers: int) -> float:
        """What one more trial and the climb would take; see :func:`climb_seconds`."""
        return climb_seconds(
            self.parts.ladder,
            self.history.measured,
            list(self.state.ended[0].values()),
            controls=self.parts.controls,
            workers=workers,
        )

    def _promotion(self, n_trials: float) -> Job | None:
        for rung in range(self.top, 0, -1):
            if promotable := self._promotable(rung, n_trials):
                # Opened first: its exponents may depend on what is known by now.
                self.open(rung)
                self._write("promotion", {"trial": promotable[0], "rung": rung})
                return self._job(RunId("trial", promotable[0], rung))
        return None

    def _control(self, n_trials: float) -> Job | None:
        """A trial that was not picked: the full network shows whether it was rightly left behind.

        Drawn when all that climb from rung 0 are known. Whether a proxy tells good configs from bad
        ones cannot be seen among the best alone.
        """
        drawn = len(self.state.controls)
        if not self.top or drawn >= self.parts.controls or self._outstanding(0, n_trials) > 0:
            return None
        climbing = self.state.entered[1].keys() | self.state.entered[self.top].keys()
        left = [
            trial
            for trial, record in sorted(self.state.ended[0].items())
            if record.state == "finished" and trial not in climbing
        ]
        if not left:
            return None
        rng = np.random.default_rng(seed_sequence("control", self.parts.seed, drawn))
        trial = int(rng.choice(left))
        self._write("promotion", {"trial": trial, "rung": self.top, "control": True})
        return self._job(RunId("trial", trial, self.top))

    def _new_trial(self, n_trials: float) -> Job | None:
        if len(self.history.trials) >= n_trials:
            return None
        trial = self._propose()
        return None if trial is None else self._job(RunId("trial", trial, 0))

    def _propose(self) -> int | None:
        """Commits a new trial and returns its number, or None if there is nothing more to try."""
        number = len(self.history.trials)
        while self._enqueued:
            config: Config = self._enqueued.popleft()
            if not self.history.has(config):
                self._write("trial", {"number": number, "config": config, "source": "enqueued"})
                return number
        if self._exhausted:
            return None
        began = time.perf_counter()
        rng = np.random.default_rng(seed_sequence("proposal", self.parts.seed, number))
        proposed = self.parts.searcher.propose(self.parts.space, self.history, 1, rng=rng)
        configs = check_proposals(self.parts.searcher, proposed)
        seconds = time.perf_counter() - began
        if not configs:
            self._exhausted = True
            return None
        config = self.parts.space.validate(configs[0], argument="the searcher's proposal")
        self._write(
            "trial", {"number": number, "config": config, "source": "searcher", "seconds": seconds}
        )
        return number

    def _job(self, run: RunId) -> Job:
        opening, config = self.open(run.rung), self.history.trials[run.trial].config
        ratio = own_width_ratio(self.parts, config, opening) if opening.exponents else 1.0
        trained_config = transferred(config, opening.exponents, ratio)
        return self._at_rung(run, config, trained_config, opening.density)

    def _probe(self, run: RunId) -> Job:
        probe = self.history.probes[run.trial]
        trained_config = transferred(probe.config, probe.exponents, probe.width_ratio or 1.0)
        return self._at_rung(run, probe.config, trained_config, self.measured(run.rung).density)

    def _at_rung(self, run: RunId, config: Config, trained_config: Config, density: float) -> Job:
        return Job(
            id=run,
            config=config,
            trained_config=trained_config,
            density=density,
            budget=self.parts.ladder[run.rung].budget,
            seed=self.parts.seed,
            keep_weights=run.kind == "trial" and run.rung == self.top,
            checkpoint_dir=None if self._checkpoints is None else self._checkpoints.make(run),
        )

    def _promotable(self, rung: int, n_trials: float) -> list[int]:
        below = self._outstanding(rung - 1, n_trials)
        if below == float("inf"):
            return []
        return promotable(
            self.state.ended[rung - 1],
            int(below),
            self._places(rung),
            self.state.entered[rung].keys(),
        )

    def _places(self, rung: int) -> int:
        failures = sum(
            record.state == "failed"
            for trial, record in self.state.ended[rung].items()
            if trial not in self.state.controls
        )
        return places(self.parts.ladder[rung - 1].keep or 0, failures)

    def _outstanding(self, rung: int, n_trials: float) -> float:
        """How many trials may yet end at a rung: those that run, and those still to come."""
        entered, ended = self.state.entered[rung], self.state.ended[rung]
        running = len(entered) - len(ended)
        if rung == 0:
            to_come = 0.0 if self._exhausted else max(0.0, n_trials - len(entered))
        elif self._outstanding(rung - 1, n_trials) > 0:
            to_come = self._places(rung)
        else:
            to_come = len(self._promotable(rung, n_trials))
        return running + to_come

    def _write(self, kind: str, body: Mapping[str, Any]) -> None:
        check_event(kind, body)  # before it is written: what cannot be read would end the study
        self._store.append(kind, body)
        self.state.apply(kind, body)
