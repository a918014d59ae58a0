"""One training run, from a fresh network to its last report, wherever it runs."""

from __future__ import annotations

import gc
import math
import time
import traceback as tracebacks
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from proxyhpo._records.correction import Correction
from proxyhpo._records.records import Config, Report, run_key
from proxyhpo._seeding import cuda_in_use, seed_everything, seed_sequence
from proxyhpo.errors import one_line
from proxyhpo.transfers import Scaling, UpdateRule, scaled_updates

if TYPE_CHECKING:
    from proxyhpo._proxy import NetworkFactory
    from proxyhpo.evaluators import ProxyEvaluator
    from proxyhpo.space import Space

__all__ = ["Job", "Outcome", "Work", "numbers_of"]


@dataclass(frozen=True)
class Job:
    """A training run that is to be done; plain data, so that it travels.

    Args:
        trial: number of the trial, or of the probe.
        rung: index of the rung.
        replicate: 0 for the first run of this trial at this rung.
        config: in terms of the full network; ``build`` gets it.
        trained_with: after the transfer; the evaluator gets it.
        density: 1 for the full network.
        budget: fraction of a full training.
        seed: of the study; the run's own follows from it and the numbers above.
        keep_weights: whether the outcome brings the trained weights.
        checkpoint_dir: where the training may keep checkpoints until it has ended.
        probe: whether it is no trial's, but one from which the transfer learns.
    """

    trial: int
    rung: int
    replicate: int
    config: Config
    trained_with: Config
    density: float
    budget: float
    seed: int
    keep_weights: bool = False
    checkpoint_dir: Path | None = None
    probe: bool = False

    @property
    def key(self) -> tuple[int, int, int]:
        """(trial, rung, replicate): what identifies the run within its study."""
        return run_key(self.trial, self.rung, self.replicate, probe=self.probe)

    @property
    def seeds(self) -> np.random.SeedSequence:
        """The source of all randomness of this run, the same wherever and whenever it runs."""
        purpose = "probe" if self.probe else "training"
        return seed_sequence(purpose, self.seed, self.trial, self.rung, self.replicate)

    @property
    def training_seed(self) -> int:
        """What the evaluator gets, and everything random in a training is seeded with."""
        _, training = self.seeds.spawn(2)
        return int(training.generate_state(1, np.uint64)[0] >> 1)


@dataclass(frozen=True)
class Outcome:
    """How a training run ended.

    Args:
        value: the last one reported; None if the run failed.
        reports: every finite value reported.
        metrics: the last report's.
        seconds: of building, pruning and training, the last as it reported it itself, if it did.
        overhead_seconds: of building and pruning.
        reason: why it failed, in one line; None if it did not.
        traceback: of the exception, if there was one.
        weights: the trained network's ``state_dict`` on the CPU, if asked for.
        correction: how the updates of a proxy were scaled, if they were.
    """

    value: float | None
    reports: tuple[float, ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    overhead_seconds: float = 0.0
    reason: str | None = None
    traceback: str | None = None
    weights: Mapping[str, Tensor] | None = None
    correction: Correction | None = None


@dataclass(frozen=True)
class Work:
    """What every training run of a study shares: how to make a network, and how to train it.

    Args:
        networks: makes a fresh network for a run.
        evaluator: trains it.
        space: turns the labels of a config into the objects they stand for.
        steps: how many reports a full training makes; a run on a smaller budget is cut after
            that fraction of them. None if the evaluator takes a budget itself.
        rule: scales the updates of proxies, see :class:`~proxyhpo.transfers.Transfer`.
    """

    networks: NetworkFactory
    evaluator: ProxyEvaluator
    space: Space
    steps: int | None = None
    rule: UpdateRule | None = None

    def run(self, job: Job) -> Generator[tuple[Report, float, float], None, Outcome]:
        """Does a job: yields each report, returns the outcome.

        With a report come the seconds so far, and the part of them spent building and pruning.
        Whatever the user's code raises becomes the outcome; Ctrl-C passes through. Global random
        states are seeded and left changed.
        """
        run = _Run(self, job)
        try:
            yield from run.train()
            return run.outcome()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a failed trial is a result
            text = "".join(tracebacks.format_exception(error))
            # The frames hold the network and its activations; free them before the next run.
            tracebacks.clear_frames(error.__traceback__)
            return run.outcome(reason=one_line(error), traceback=text)
        finally:
            run.release()


class _Run:
    """The state of one run while it goes on."""

    def __init__(self, work: Work, job: Job) -> None:
        self.work = work
        self.job = job
        self.network: nn.Module | None = None
        self.reports: list[float] = []
        self.metrics: Mapping[str, float] = {}
        self.overhead = 0.0
        self.training = 0.0
        self.failure: str | None = None
        self.scaling: Scaling | None = None

    @property
    def seconds(self) -> float:
        reported = self.metrics.get("seconds")
        return self.overhead + (self.training if reported is None else float(reported))

    def train(self) -> Generator[tuple[Report, float, float], None, None]:
        began = time.perf_counter()
        job, space = self.job, self.work.space
        network_seeds, _ = job.seeds.spawn(2)
        self.network, fans = self.work.networks.network_and_fans(
            space.resolve(job.config), density=job.density, seed=network_seeds
        )
        self.overhead = time.perf_counter() - began
        with scaled_updates(self.network, fans, self.work.rule) as self.scaling:
            yield from self._reports()
        if not self.reports and self.failure is None:
            raise ValueError(_NOTHING + (_NO_STEPS.format(job.budget) if job.budget < 1 else ""))

    def _reports(self) -> Generator[tuple[Report, float, float], None, None]:
        job, space = self.job, self.work.space
        assert self.network is not None, "it was made"
        seed = job.training_seed
        seed_everything(seed)
        reports = self.work.evaluator.evaluate(
            self.network,
            space.resolve(job.trained_with),
            budget=job.budget,
            seed=seed,
            **_checkpointing(job),
        )
        last = math.inf if self.work.steps is None else max(1, round(self.work.steps * job.budget))
        try:
            while len(self.reports) < last:
                # Only the time inside the training counts, not what others do between reports.
                began = time.perf_counter()
                report = next(reports, None)
                self.training += time.perf_counter() - began
                if report is None:
                    break
                if not math.isfinite(report.value):
                    self.failure = f"report {len(self.reports) + 1} was {report.value}"
                    break
                self.reports.append(float(report.value))
                self.metrics = numbers_of(report)
                yield report, self.seconds, self.overhead
        finally:
            if close := getattr(reports, "close", None):
                close()

    def outcome(self, *, reason: str | None = None, traceback: str | None = None) -> Outcome:
        reason = reason or self.failure
        weights = None
        if reason is None and self.job.keep_weights and self.network is not None:
            weights = {
                name: tensor.detach().to("cpu", copy=True)
                for name, tensor in self.network.state_dict().items()
                if isinstance(tensor, Tensor)
            }
        return Outcome(
            value=None if reason else self.reports[-1],
            reports=tuple(self.reports),
            metrics=dict(self.metrics),
            seconds=self.seconds,
            overhead_seconds=self.overhead,
            reason=reason,
            traceback=traceback,
            weights=weights,
            correction=None if self.scaling is None else self.scaling.correction,
        )

    def release(self) -> None:
        """Gives the network's memory back, on the accelerator too."""
        self.network = None
        if cuda_in_use():
            gc.collect()  # a module with hooks may sit in a cycle, and hold its memory there
            torch.cuda.empty_cache()


LONGEST = 1e12
"""Seconds that a training may report; what a record may hold leaves room for its overhead."""

_NOTHING = "the training reported nothing: it must yield a value after each step, or return one"
_NO_STEPS = "; with budget={:g}, does it round its steps down to none?"


def _checkpointing(job: Job) -> dict[str, Any]:
    """The further argument of evaluators that take one."""
    if job.checkpoint_dir is None:
        return {}
    if not job.checkpoint_dir.is_dir():
        raise FileNotFoundError(
            f"checkpoint_dir {str(job.checkpoint_dir)!r} is not on this machine: give a store= on "
            "a file system that the study shares with its workers"
        )
    return {"checkpoint_dir": job.checkpoint_dir}


def numbers_of(report: Report) -> dict[str, float]:
    """A report's further numbers, as they can be stored; what is no number raises."""
    metrics = {str(name): float(number) for name, number in report.metrics.items()}
    if not 0 <= (seconds := metrics.get("seconds", 0.0)) <= LONGEST:
        raise ValueError(f"the training reported that it took {seconds} seconds")
    return metrics
