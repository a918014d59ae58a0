"""Shows a study in TensorBoard while it runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from typing_extensions import Self, override

from proxyhpo.callbacks._interface import Callback, Training
from proxyhpo.errors import missing_library

if TYPE_CHECKING:
    from proxyhpo._records.records import Record
    from proxyhpo._records.report import Report

__all__ = ["TensorBoardCallback"]


@final
class TensorBoardCallback(Callback):
    """Writes every training run for ``tensorboard --logdir log_dir``, while it runs.

    Requires the extra ``tensorboard``. ``log_dir`` itself contains the value, the
    seconds and the failures of each rung, by trial number. Each training has its own run,
    ``rung-0/trial-7``, with its reports as curves that grow while it trains and, for the
    hyperparameter tab, its config (in terms of the full network) with its last value and metrics.

    Args:
        log_dir: created if it is missing. A resumed study appends to the same log; the curve of a
            training that is repeated replaces that of the interrupted one.

    Raises:
        ImportError: if TensorBoard is not installed.
    """

    def __init__(self, log_dir: str | Path) -> None:
        self._writer_class = _writer_class()
        self._folder = Path(log_dir)
        self._overview: Any = None
        self._runs: dict[str, Any] = {}

    @override
    def on_training_start(self, training: Training) -> None:
        """Opens the run, and hides what an interrupted attempt has left there."""
        folder = self._folder / _run_name(training)
        self._runs[training.name] = self._writer_class(str(folder), purge_step=1)

    @override
    def on_report(self, training: Training, report: Report, step: int) -> None:
        """Adds a point to the run's curves."""
        run = self._runs[training.name]
        run.add_scalar("report", report.value, step)
        for metric, number in report.metrics.items():
            run.add_scalar(f"metric/{metric}", number, step)
        run.flush()

    @override
    def on_training_end(self, training: Training, record: Record) -> None:
        """Adds the config with the last value, and a point for the trial."""
        numbers = {f"last/{name}": float(number) for name, number in record.metrics.items()}
        numbers["last/seconds"] = record.seconds
        if record.value is not None:
            numbers["last/value"] = record.value
        with self._runs.pop(training.name) as run:
            if record.reason is not None:
                run.add_text("reason", record.reason)
            config = {key: _simple(value) for key, value in record.config.items()}
            run.add_hparams(config, numbers, run_name=".")  # this run, not a run below it
        self._add_to_overview(record)

    @override
    def on_training_interrupted(self, training: Training, reason: str) -> None:
        """Closes the run."""
        self._runs.pop(training.name).close()

    def close(self) -> None:
        """Closes all files; they are opened again when they are needed."""
        if self._overview is not None:
            self._overview.close()
            self._overview = None

    def __enter__(self) -> Self:
        """The callback itself; :meth:`close` is called at the end of the block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Closes."""
        self.close()

    def _add_to_overview(self, record: Record) -> None:
        if self._overview is None:
            self._overview = self._writer_class(str(self._folder))
        numbers = {"seconds": record.seconds, "failed": float(record.state == "failed")}
        if record.value is not None:
            numbers["value"] = record.value
        for name, number in numbers.items():
            self._overview.add_scalar(f"{name}/rung-{record.rung}", number, record.trial)
        self._overview.flush()


def _run_name(training: Training) -> str:
    suffix = f"-replicate-{training.replicate}" if training.replicate else ""
    return f"rung-{training.rung}/trial-{training.trial}{suffix}"


def _simple(value: object) -> bool | int | float | str:
    """Converts a value to a type that TensorBoard accepts as a hyperparameter."""
    return value if isinstance(value, (bool, int, float, str)) else str(value)


def _writer_class() -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise missing_library("TensorBoardCallback", "TensorBoard", "tensorboard") from error
    return SummaryWriter
