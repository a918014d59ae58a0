"""Shows a study in TensorBoard while it runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from typing_extensions import Self

if TYPE_CHECKING:
    from proxyhpo._records.records import Record

__all__ = ["TensorBoardCallback"]


@final
class TensorBoardCallback:
    """Writes every training run for ``tensorboard --logdir log_dir``.

    Needs ``pip install proxyhpo[tensorboard]``. In ``log_dir`` itself stand the value, the seconds
    and the failures of each rung, against the number of the trial. Each training has a run of its
    own, ``rung-0/trial-7``, with its reports as a curve and, for the tab of hyperparameters, its
    config (in terms of the full network) with its last value and metrics.

    Args:
        log_dir: made where it is missing. A resumed study appends to the same log.

    Raises:
        ImportError: if TensorBoard is not installed.
    """

    def __init__(self, log_dir: str | Path) -> None:
        self._writer_class = _writer_class()
        self._folder = Path(log_dir)
        self._overview: Any = None

    def __call__(self, record: Record) -> None:
        """Writes a run down; it can be seen at once."""
        if self._overview is None:
            self._overview = self._writer_class(str(self._folder))
        numbers = {"seconds": record.seconds, "failed": float(record.state == "failed")}
        if record.value is not None:
            numbers["value"] = record.value
        for name, number in numbers.items():
            self._overview.add_scalar(f"{name}/rung-{record.rung}", number, record.trial)
        self._overview.flush()
        self._write_run(record)

    def close(self) -> None:
        """Ends the file of the overview; a further record begins another."""
        if self._overview is not None:
            self._overview.close()
            self._overview = None

    def __enter__(self) -> Self:
        """The callback itself; :meth:`close` is called at the end of the block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Closes."""
        self.close()

    def _write_run(self, record: Record) -> None:
        name = f"rung-{record.rung}/trial-{record.trial}"
        if record.replicate:
            name += f"-replicate-{record.replicate}"
        numbers = {f"last/{name}": float(number) for name, number in record.metrics.items()}
        numbers["last/seconds"] = record.seconds
        if record.value is not None:
            numbers["last/value"] = record.value
        with self._writer_class(str(self._folder / name)) as run:
            for step, report in enumerate(record.reports, start=1):
                run.add_scalar("report", report.value, step)
                for metric, number in report.metrics.items():
                    run.add_scalar(f"metric/{metric}", number, step)
            if record.reason is not None:
                run.add_text("reason", record.reason)
            config = {key: _simple(value) for key, value in record.config.items()}
            run.add_hparams(config, numbers, run_name=".")  # this run, not one below it


def _simple(value: object) -> bool | int | float | str:
    """As TensorBoard knows it: a hyperparameter is a number or a text there."""
    return value if isinstance(value, (bool, int, float, str)) else str(value)


def _writer_class() -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ImportError(
            "TensorBoardCallback needs TensorBoard: pip install 'proxyhpo[tensorboard]'"
        ) from error
    return SummaryWriter
