"""One training, from a fresh network to its last report, on any executor."""

from __future__ import annotations

import gc
import logging
import math
import time
import traceback as tracebacks
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from proxyhpo._isolation import TorchSettings, device_here, isolated
from proxyhpo._networks.backward import BackwardCount
from proxyhpo._records.correction import Correction
from proxyhpo._records.report import Report, checked_report
from proxyhpo._runs.job import Hear, Job, Outcome, Reported, unheard
from proxyhpo._seeding import cuda_in_use, seed_everything
from proxyhpo.errors import EvaluatorError, one_line
from proxyhpo.evaluators import TrialRun
from proxyhpo.evaluators._budget import within_budget
from proxyhpo.transfers import UpdateRule, scaled_updates
from proxyhpo.transfers._scaling import Scaling

if TYPE_CHECKING:
    from proxyhpo._proxy import NetworkFactory
    from proxyhpo.evaluators import Direction, ProxyEvaluator
    from proxyhpo.space import Space

__all__ = ["Work", "import_compiler"]

logger = logging.getLogger("proxyhpo")


@dataclass(frozen=True)
class Work:
    """What all trainings of a study share: how to make a network, and how to train it.

    Args:
        networks: makes a fresh network for each training. It includes the plans for pruning, which
            are made before the work is sent to workers.
        evaluator: trains it.
        space: replaces the labels of a config by their objects.
        steps: how many reports a full training makes. A training on a smaller budget ends after
            that fraction of them. None if the evaluator takes a budget itself.
        device: where trainings run, as the study's process names it.
        rule: scales the updates of proxies, see :class:`~proxyhpo.transfers.Transfer`.
        best: direction of the values, if the weights at the best report are to be kept; None
            keeps the last ones.
        settings: of torch, in force in each training; by default those of this process now.
    """

    networks: NetworkFactory
    evaluator: ProxyEvaluator
    space: Space
    steps: int | None = None
    device: str = "cpu"
    rule: UpdateRule | None = None
    best: Direction | None = None
    settings: TorchSettings = field(default_factory=TorchSettings.current)

    def run(self, job: Job, hear: Hear = unheard) -> Outcome:
        """Runs a job and returns the outcome.

        An exception of the user's code becomes part of the outcome. KeyboardInterrupt, and
        exceptions of ``hear``, are raised. Global state that the training changes (see
        :func:`~proxyhpo._isolation.isolated`) is restored when it ends.

        Args:
            job: the job to run.
            hear: called with each report, in the call stack of the training; True ends the
                training.
        """
        import_compiler()
        training = _Training(self, job, hear)
        with isolated(self.settings.here()):
            try:
                try:
                    training.train()
                except (Exception, SystemExit) as error:  # noqa: BLE001 - a failed trial is a result
                    training.fail(error)
                    # The frames refer to the network and its activations, so free them now.
                    tracebacks.clear_frames(error.__traceback__)
                training.take_weights()
                return training.outcome()
            finally:
                training.release()


def import_compiler() -> None:
    """Imports torch's compiler, as the first optimizer of a process would.

    That takes seconds. It is done before a training starts, so that the training is not charged
    for it and its time limit does not include it.
    """
    import_module("torch._dynamo")


class _Training:
    """A running training; the evaluator gets its :meth:`report`."""

    def __init__(self, work: Work, job: Job, hear: Hear) -> None:
        self._work = work
        self._job = job
        self._hear = hear
        self._network: nn.Module | None = None
        self._reports: list[Report] = []
        self._most = math.inf if work.steps is None else within_budget(work.steps, job.budget)
        self._started_at = time.time()
        self._overhead = 0.0
        self._trained = 0.0
        self._resumed_at: float | None = None
        self._width_ratio: float | None = None
        self._scaling: Scaling | None = None
        self._backward = BackwardCount(nn.Module())  # of nothing until the network is made
        self._is_over = False
        self._stopped = False
        self._reason: str | None = None
        self._traceback: str | None = None
        self._refusal: EvaluatorError | None = None
        self._weights: dict[str, Tensor] | None = None
        self._listener_error: BaseException | None = None
        self._best_weights: dict[str, Tensor] | None = None

    @property
    def _seconds(self) -> float:
        reported = self._reports[-1].metrics.get("seconds") if self._reports else None
        return self._overhead + (self._trained if reported is None else reported)

    @property
    def _correction(self) -> Correction | None:
        return None if self._scaling is None else self._scaling.correction

    def train(self) -> None:
        began = time.perf_counter()
        job, space = self._job, self._work.space
        made = self._work.networks.make(
            space.resolve(job.config), density=job.density, seed=job.network_seeds
        )
        self._network, self._width_ratio = made.network, made.width_ratio
        self._overhead = time.perf_counter() - began
        self._backward = BackwardCount(made.network)
        trial = _trial_run(job, self._work)
        seed_everything(trial.seed)
        rule = self._work.rule
        with scaled_updates(
            made.network, made.fans, rule, has_norms=made.has_norms
        ) as self._scaling:
            self._resumed_at = time.perf_counter()
            self._work.evaluator.evaluate(
                made.network, space.resolve(job.trained_config), self.report, trial=trial
            )
        if not self._reports and not self._is_over:
            raise ValueError(_nothing_reported(job.budget))
        self._pause()

    def report(self, value: Any, /, **metrics: Any) -> bool:
        """Takes a report. True if the training must end now; later reports are ignored."""
        if self._is_over:
            return True
        self._pause()  # time spent by listeners is not part of the training
        report = checked_report(value, metrics, "report: got")
        if math.isfinite(report.value):
            self._reports.append(report)
            self._keep_if_best()
            self._stopped = self._is_stopped_after(report)
            self._is_over = self._stopped or len(self._reports) >= self._most
        else:
            self._reason = f"report {len(self._reports) + 1} was {report.value}"
            self._is_over = True
        if self._is_over:
            self._backward.stop()  # like the seconds, passes after the last report do not count
        else:
            self._resumed_at = time.perf_counter()
        return self._is_over

    def _keep_if_best(self) -> None:
        """Copies the weights at the best report so far, where these are wanted."""
        best, values = self._work.best, [report.value for report in self._reports]
        if best is None or not self._job.keep_weights or self._network is None:
            return
        if values.index(min(values) if best == "minimize" else max(values)) == len(values) - 1:
            self._best_weights = _weights(self._network)

    def _pause(self) -> None:
        if self._resumed_at is not None:
            self._trained += time.perf_counter() - self._resumed_at
            self._resumed_at = None

    def _is_stopped_after(self, report: Report) -> bool:
        try:
            return self._hear(
                self._job,
                Reported(
                    report,
                    self._seconds,
                    self._overhead,
                    self._width_ratio,
                    self._correction,
                    self._backward.passes,
                    self._started_at,
                ),
            )
        except BaseException as error:  # not the training's error, so it must not handle it
            self._listener_error = error
            self._is_over = True
            raise

    def fail(self, error: BaseException) -> None:
        """Records an exception that ended the training."""
        self._pause()
        if self._is_over:  # some frameworks end a training with an exception
            logger.debug("%s ended with %s", self._job.id.name, one_line(error))
        else:
            self._reason = one_line(error)
            self._traceback = "".join(tracebacks.format_exception(error))
            if isinstance(error, EvaluatorError):
                self._refusal = EvaluatorError(str(error))  # its own traceback keeps the network

    def take_weights(self) -> None:
        """Copies the trained weights if they are wanted. A failure to copy fails the training."""
        if self._reason is not None or not self._job.keep_weights or self._network is None:
            return
        try:
            self._weights = self._best_weights or _weights(self._network)
        except Exception as error:  # noqa: BLE001 - a state_dict() is the user's code
            self._reason = f"the trained weights cannot be copied: {one_line(error)}"
            self._traceback = "".join(tracebacks.format_exception(error))

    def outcome(self) -> Outcome:
        """How the training ended.

        Raises:
            BaseException: the exception of the listener, if there was one.
        """
        if self._listener_error is not None:
            raise self._listener_error
        return Outcome(
            reports=tuple(self._reports),
            seconds=self._seconds,
            overhead_seconds=self._overhead,
            stopped=self._stopped,
            reason=self._reason,
            traceback=self._traceback,
            weights=self._weights,
            correction=self._correction,
            width_ratio=self._width_ratio,
            backward_passes=self._backward.passes,
            started_at=self._started_at,
            refusal=self._refusal,
        )

    def release(self) -> None:
        """Releases the network's memory, also on the accelerator."""
        self._backward.stop()
        self._network = None
        if cuda_in_use():
            gc.collect()  # a module with hooks may be in a reference cycle, which keeps its memory
            torch.cuda.empty_cache()


def _weights(network: nn.Module) -> dict[str, Tensor]:
    """A copy of the network's state on the CPU."""
    return {
        name: tensor.detach().to("cpu", copy=True)
        for name, tensor in network.state_dict().items()
        if isinstance(tensor, Tensor)
    }


def _trial_run(job: Job, work: Work) -> TrialRun:
    folder = job.checkpoint_dir
    if folder is not None and not folder.is_dir():
        raise FileNotFoundError(
            f"checkpoint_dir {str(folder)!r} does not exist on this machine: set store= to a path "
            "on a file system that the study shares with its workers"
        )
    return TrialRun(
        number=job.id.trial,
        rung=job.id.rung,
        name=job.id.name,
        density=job.density,
        budget=job.budget,
        seed=job.training_seed,
        device=device_here(work.device),
        checkpoint_dir=folder,
        left_to_train=frozenset(() if work.networks.takes_config else work.space.names),
    )


def _nothing_reported(budget: float) -> str:
    hint = f"; with budget={budget:g}, does it round its steps down to 0?" if budget < 1 else ""
    return (
        "the training reported no value: it must yield or report a value after each step, or "
        f"return one{hint}"
    )
