"""Logs a study to Weights & Biases while it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

from typing_extensions import override

from proxyhpo.callbacks._interface import Callback, Training
from proxyhpo.errors import missing_library

if TYPE_CHECKING:
    from proxyhpo._records.records import Record
    from proxyhpo._records.report import Report

__all__ = ["WandbCallback"]


@final
class WandbCallback(Callback):
    """Logs every training as a run of Weights & Biases, in one group for the study.

    Requires the extra ``wandb``. A run has ``config.lr`` in terms of the full network and
    ``trained_config.lr`` as trained, with ``rung``, ``density``, ``budget`` and ``trial``; its
    reports as they arrive; rung and density as tags; and ``state`` and ``total_seconds`` in its
    summary. A training that is interrupted becomes a run that failed, with the state
    ``interrupted``, and a further run when it is repeated.

    Args:
        study: the group; a resumed study with the same name continues in it.
        project: of the runs.
        options: further arguments of ``wandb.init``, such as ``entity``, ``dir`` or
            ``mode="offline"``.

    Raises:
        ImportError: if ``wandb`` is not installed.
    """

    def __init__(self, study: str, *, project: str = "proxyhpo", **options: Any) -> None:
        self._wandb = _library()
        self._study = study
        self._project = project
        # Several runs are open at a time, and the study's output belongs to none of them.
        self._options = {"settings": self._wandb.Settings(console="off", silent=True), **options}
        self._runs: dict[str, Any] = {}

    @override
    def on_training_start(self, training: Training) -> None:
        """Starts the run."""
        self._runs[training.name] = self._wandb.init(
            project=self._project,
            group=self._study,
            name=training.name,
            job_type=f"rung {training.rung}",
            tags=[f"rung {training.rung}", f"density {training.density:g}"],
            config={
                "config": training.config,
                "trained_config": training.trained_config,
                "trial": training.trial,
                "rung": training.rung,
                "density": training.density,
                "budget": training.budget,
            },
            reinit="create_new",
            **self._options,
        )

    @override
    def on_report(self, training: Training, report: Report, step: int) -> None:
        """Logs the value and the metrics."""
        self._runs[training.name].log({**report.metrics, "value": report.value}, step=step)

    @override
    def on_training_end(self, training: Training, record: Record) -> None:
        """Ends the run as finished or failed."""
        summary: dict[str, Any] = {"state": record.state, "total_seconds": record.seconds}
        if record.reason is not None:
            summary["reason"] = record.reason
        self._end(training, summary, exit_code=int(record.state == "failed"))

    @override
    def on_training_interrupted(self, training: Training, reason: str) -> None:
        """Ends the run as failed."""
        self._end(training, {"state": "interrupted", "reason": reason}, exit_code=1)

    def _end(self, training: Training, summary: dict[str, Any], exit_code: int) -> None:
        run = self._runs.pop(training.name)
        run.summary.update(summary)
        run.finish(exit_code=exit_code)


def _library() -> Any:
    try:
        import wandb  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise missing_library("WandbCallback", "wandb", "wandb") from error
    return wandb
