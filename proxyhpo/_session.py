"""Ask and tell: for callers that run their own training loop."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from torch import Tensor, nn

from proxyhpo._engine.climb import settle
from proxyhpo._engine.notifier import Notifier
from proxyhpo._engine.stopping import CurveWatch
from proxyhpo._networks.backward import BackwardCount
from proxyhpo._proxy import NetworkFactory
from proxyhpo._records.correction import Correction
from proxyhpo._records.records import Config, Record
from proxyhpo._records.report import ALLOWED, report_of
from proxyhpo._running import OpenStudy
from proxyhpo._runs import Job, Outcome, RunId
from proxyhpo._runs.work import import_compiler
from proxyhpo._seeding import preserved_random_state
from proxyhpo._validation import check_seconds
from proxyhpo.errors import ArgumentError
from proxyhpo.transfers import UpdateRule
from proxyhpo.transfers._scaling import Scaling

__all__ = ["Asked", "Session", "Told", "not_asked", "outcome_of"]

Told = float | Mapping[str, float] | Sequence[float | Mapping[str, float]] | None


@dataclass(frozen=True)
class Asked:
    """A training that the caller is asked to run.

    Args:
        config: in terms of the full network. Labelled choices are given as their objects.
        trained_config: the config to train with, after the transfer.
        density: of the network to train; 1 is the full network.
        budget: fraction of a full training.
        seed: for the training's own randomness. With ``torch.manual_seed(asked.seed)`` the training
            is repeatable.
        job: identifies the training for :meth:`ProxyHPO.tell`.
    """

    config: Config
    trained_config: Config
    density: float
    budget: float
    seed: int
    job: Job
    _networks: NetworkFactory
    _watch: CurveWatch
    _rule: UpdateRule | None = None
    _scalings: list[Scaling] = field(default_factory=list)
    _width_ratios: list[float] = field(default_factory=list)
    _backward: list[BackwardCount] = field(default_factory=list)

    @property
    def trial(self) -> int:
        """Number of the trial."""
        return self.job.id.trial

    def should_stop(self, values: Sequence[float]) -> bool:
        """Whether the study's stopper would end the training after the last of these values.

        If it would, call :meth:`ProxyHPO.tell` with the values and ``stopped=True``.

        Args:
            values: all values that the training has reported so far, in order.

        Raises:
            ArgumentError: if there are none, or one is not finite (report that as a failure).
        """
        try:
            numbers = [float(value) for value in values]
        except (TypeError, ValueError):  # a single number, for example
            numbers = []
        if not numbers or not all(map(math.isfinite, numbers)):
            raise ArgumentError(
                f"should_stop: values must be a sequence of finite numbers, got {values!r}"
            )
        return self._watch.judge(self.job, numbers)

    def network(self) -> nn.Module:
        """A fresh network of this density to train, the same at every call.

        If the study's transfer scales updates, the optimizer steps of this network are scaled in
        this process from now on, until :meth:`ProxyHPO.tell` or :meth:`ProxyHPO.close` is called,
        or the network is deleted.
        """
        with preserved_random_state():
            made = self._networks.make(
                self.config, density=self.density, seed=self.job.network_seeds
            )
        self._width_ratios.append(made.width_ratio)
        self._backward.append(BackwardCount(made.network))
        if self._rule is not None and made.fans:
            scaling = Scaling(made.network, made.fans, self._rule, has_norms=made.has_norms)
            scaling.start()
            self._scalings.append(scaling)
        return made.network

    @property
    def width_ratio(self) -> float | None:
        """The width ratio of the network; None until :meth:`network` has been called."""
        return self._width_ratios[-1] if self._width_ratios else None

    def end_count(self) -> int | None:
        """Ends the count of backward passes, and returns it; None if it is unknown."""
        for count in self._backward:
            count.stop()
        return self._backward[-1].passes if self._backward else None

    def end_scaling(self) -> Correction | None:
        """Ends the scaling of updates, and returns how they were scaled."""
        for scaling in self._scalings:
            scaling.stop()
        return self._scalings[-1].correction if self._scalings else None


class Session:
    """The trainings that callers have asked for and whose outcome is not known yet.

    Args:
        opened: the study.
    """

    def __init__(self, opened: OpenStudy) -> None:
        self.opened = opened
        self._watch = CurveWatch(opened.study, opened.setup.stoppers)
        self._notifier = Notifier(opened.setup.running.callbacks)
        self._waiting: dict[RunId, tuple[Asked, float]] = {}  # and since when

    def ask(self, n_trials: float) -> Asked | None:
        """See :meth:`ProxyHPO.ask`."""
        import_compiler()  # otherwise the first optimizer does, while a training is timed
        with preserved_random_state():
            job = self.opened.study.next_job(lambda: n_trials)
        if job is None:
            return None
        setup = self.opened.setup
        asked = Asked(
            config=setup.problem.space.resolve(job.config),
            trained_config=setup.problem.space.resolve(job.trained_config),
            density=job.density,
            budget=job.budget,
            seed=job.training_seed,
            job=job,
            _networks=setup.problem.networks,
            _watch=self._watch,
            _rule=setup.parts.transfer.update_rule(),
        )
        self._waiting[job.id] = asked, time.monotonic()
        self._notifier.start(job)
        return asked

    def tell(
        self,
        asked: Asked,
        value: Told,
        seconds: float | None,
        network: nn.Module | None,
        *,
        stopped: bool,
    ) -> Record:
        """See :meth:`ProxyHPO.tell`."""
        if asked.job.id not in self._waiting:
            raise not_asked(asked)
        waited = time.monotonic() - self._waiting[asked.job.id][1]
        outcome = outcome_of(value, waited if seconds is None else seconds, stopped=stopped)
        outcome = replace(
            outcome,
            correction=asked.end_scaling(),
            width_ratio=asked.width_ratio,
            backward_passes=asked.end_count(),
            started_at=time.time() - waited,
        )
        if network is not None and asked.job.keep_weights and outcome.reason is None:
            outcome = replace(outcome, weights=network.state_dict())
        try:
            record = settle(self.opened.study, asked.job, outcome)
        finally:
            # Also if something failed after the record was written: it must not be written twice.
            if self.opened.study.state.has_ended(asked.job.id):
                del self._waiting[asked.job.id]
        self._notifier.end(asked.job, record)
        return record

    def close(self) -> None:
        """Ends the trainings without an outcome, which get no record.

        Their updates are not scaled any more, and callbacks are notified.
        """
        for asked, _ in self._waiting.values():
            asked.end_scaling()
            asked.end_count()
            self._notifier.interrupt(asked.job, "the study was closed")
        self._waiting.clear()


def not_asked(asked: Asked) -> ArgumentError:
    """The error for a training that the study is not waiting for."""
    return ArgumentError(
        f"tell: the study is not waiting for trial {asked.trial}: its outcome was already told, "
        "the study was closed, or another ProxyHPO asked for the trial"
    )


def outcome_of(value: Any, seconds: float, *, stopped: bool = False) -> Outcome:
    """Turns the value that a caller tells into an outcome, by the rules for any training.

    Raises:
        ArgumentError: for a value that ``train`` could not have reported.
    """
    seconds = check_seconds("tell: seconds", seconds, zero=True)
    if value is None:
        return Outcome(seconds=seconds, reason="the caller reported a failure")
    several = isinstance(value, Sequence) and not isinstance(value, str)
    if isinstance(value, (np.ndarray, Tensor)) and value.ndim == 1:
        value, several = value.tolist(), True
    try:
        reports = [report_of(each, "value: got") for each in (value if several else [value])]
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"tell: {error}") from error
    if not reports:
        raise ArgumentError(
            f"tell: value must be {ALLOWED}, or a sequence of at least one of these; got an empty "
            "sequence"
        )
    seconds = reports[-1].metrics.get("seconds", seconds)
    bad = next((each.value for each in reports if not math.isfinite(each.value)), None)
    if bad is not None:
        return Outcome(seconds=seconds, reason=f"the value was {bad}")
    return Outcome(reports=tuple(reports), seconds=seconds, stopped=stopped)
