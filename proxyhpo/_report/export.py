"""A result as a data frame, and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from proxyhpo._records.records import Record
from proxyhpo.errors import missing_library

if TYPE_CHECKING:
    import pandas as pd

    from proxyhpo._report.result import Result

__all__ = ["frame_of", "json_of"]


def frame_of(result: Result, *, curves: bool) -> pd.DataFrame:
    """One row per training, or per report.

    Raises:
        ImportError: if pandas is not installed.
    """
    try:
        import pandas as pd  # noqa: PLC0415 - optional
    except ImportError as error:
        raise missing_library("to_frame", "pandas", "pandas") from error

    rows = _reports if curves else _trainings
    return pd.DataFrame(list(rows(result)))


def json_of(result: Result) -> dict[str, Any]:
    """Everything but the weights, as nested JSON data."""
    best = None
    if result.best is not None:
        best = {
            "value": result.best_value,
            "config": result.best_config,
            "trial": result.best.trial,
        }
    return {
        "direction": result.direction,
        "space": result.space.to_json(),
        "ladder": [asdict(rung) for rung in result.ladder],
        "interrupted": result.interrupted,
        "best": best,
        "cost": asdict(result.cost),
        "fidelity": [asdict(each) | {"verdict": each.verdict} for each in result.fidelity],
        "measured": [each.to_json() for each in result.measured.values()],
        "records": [record.to_json() for record in result.records],
    }


def _trainings(result: Result) -> Iterator[dict[str, Any]]:
    for record in result.records:
        yield {
            **_place(result, record),
            "width_ratio": record.width_ratio,
            "state": record.state,
            "value": record.value,
            "seconds": record.seconds,
            "reason": record.reason,
            **{f"config.{name}": value for name, value in record.config.items()},
            **{f"trained_config.{name}": value for name, value in record.trained_config.items()},
            **{f"metric.{name}": value for name, value in record.metrics.items()},
        }


def _reports(result: Result) -> Iterator[dict[str, Any]]:
    for record in result.records:
        for step, report in enumerate(record.reports, 1):
            yield {
                **_place(result, record),
                "state": record.state,
                "step": step,
                "value": report.value,
                **{f"metric.{name}": value for name, value in report.metrics.items()},
            }


def _place(result: Result, record: Record) -> dict[str, Any]:
    return {
        "trial": record.trial,
        "rung": record.rung,
        "replicate": record.replicate,
        "density": result.measured[record.rung].density,
    }
