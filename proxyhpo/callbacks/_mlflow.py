"""Logs a study to MLflow while it runs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, final

from typing_extensions import override

from proxyhpo.callbacks._interface import Callback, Training
from proxyhpo.errors import ArgumentError, missing_library

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxyhpo._records.records import Record
    from proxyhpo._records.report import Report

__all__ = ["MLflowCallback"]

_STATUS = {"finished": "FINISHED", "stopped": "FINISHED", "failed": "FAILED"}
_STUDY = "proxyhpo.study"


@final
class MLflowCallback(Callback):
    """Logs every training as an MLflow run, nested below one run for the study.

    Requires the extra ``mlflow``. A run has the config as parameters, ``config.lr`` in
    terms of the full network and ``trained_config.lr`` as trained; its reports as metrics, as they
    arrive; and ``rung``, ``density``, ``budget``, ``trial`` and ``state`` as tags. A training that
    is interrupted becomes a run with the status ``KILLED``, and a further run when it is repeated.

    It uses its own client: runs that you have opened with ``mlflow.start_run`` are not affected.

    Args:
        study: name of the parent run; a resumed study with the same name continues below it.
        experiment: name of the experiment, created if it is missing.
        tracking_uri: of the server or database; by default what MLflow is configured to use.

    Raises:
        ArgumentError: if the name has both kinds of quotes.
        ImportError: if MLflow is not installed.
    """

    def __init__(
        self, study: str, *, experiment: str = "proxyhpo", tracking_uri: str | None = None
    ) -> None:
        self._mlflow = _library()
        if "'" in study and '"' in study:
            raise ArgumentError(
                f"study: MLflow cannot search for a name with both kinds of quotes, got {study!r}"
            )
        self._client = self._mlflow.MlflowClient(tracking_uri=tracking_uri)
        self._study = study
        self._experiment = experiment
        self._where: tuple[str, str] | None = None
        self._runs: dict[str, str] = {}

    @override
    def on_training_start(self, training: Training) -> None:
        """Creates the run."""
        experiment, parent = self._where = self._where or self._find_or_create()
        tags = {
            "mlflow.parentRunId": parent,
            "trial": str(training.trial),
            "rung": str(training.rung),
            "density": f"{training.density:g}",
            "budget": f"{training.budget:g}",
        }
        run = self._client.create_run(experiment, run_name=training.name, tags=tags)
        self._runs[training.name] = run.info.run_id
        values = {f"config.{name}": value for name, value in training.config.items()}
        values |= {f"trained_config.{n}": value for n, value in training.trained_config.items()}
        parameter = self._mlflow.entities.Param
        self._client.log_batch(
            run.info.run_id, params=[parameter(name, str(value)) for name, value in values.items()]
        )

    @override
    def on_report(self, training: Training, report: Report, step: int) -> None:
        """Logs the value and the metrics."""
        self._log(training, {**report.metrics, "value": report.value}, step)

    @override
    def on_training_end(self, training: Training, record: Record) -> None:
        """Ends the run as finished or failed."""
        self._log(training, {"total_seconds": record.seconds}, len(record.reports))
        run = self._runs.pop(training.name)
        self._client.set_tag(run, "state", record.state)
        if record.reason is not None:
            self._client.set_tag(run, "reason", record.reason)
        self._client.set_terminated(run, _STATUS[record.state])

    @override
    def on_training_interrupted(self, training: Training, reason: str) -> None:
        """Ends the run as killed."""
        run = self._runs.pop(training.name)
        self._client.set_tag(run, "state", "interrupted")
        self._client.set_tag(run, "reason", reason)
        self._client.set_terminated(run, "KILLED")

    def _log(self, training: Training, numbers: Mapping[str, float], step: int) -> None:
        now, metric = int(1000 * time.time()), self._mlflow.entities.Metric
        self._client.log_batch(
            self._runs[training.name],
            metrics=[metric(name, number, now, step) for name, number in numbers.items()],
        )

    def _find_or_create(self) -> tuple[str, str]:
        """The ids of the experiment and of the study's run."""
        known = self._client.get_experiment_by_name(self._experiment)
        experiment = (
            self._client.create_experiment(self._experiment)
            if known is None
            else known.experiment_id
        )
        quote = '"' if "'" in self._study else "'"
        found = self._client.search_runs(
            [experiment], f"tags.`{_STUDY}` = {quote}{self._study}{quote}"
        )
        if found:
            return experiment, found[0].info.run_id
        run = self._client.create_run(experiment, run_name=self._study, tags={_STUDY: self._study})
        self._client.set_terminated(run.info.run_id)
        return experiment, run.info.run_id


def _library() -> Any:
    try:
        import mlflow  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise missing_library("MLflowCallback", "MLflow", "mlflow") from error
    return mlflow
