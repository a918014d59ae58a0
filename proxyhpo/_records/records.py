"""Records of the trainings of a study, which all other modules use.

A *config* is one assignment of hyperparameters, always in terms of the full network (the base).
A *trial* is one config on its way up a *ladder* of *rungs*; a *record* is one training run of it.
All of it is frozen and JSON-able, so that a study can be stored, resumed and sent
to workers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from typing_extensions import override

from proxyhpo._records.correction import Correction
from proxyhpo._records.fields import (
    CONFIG,
    COUNT,
    REAL,
    REPORTS,
    SECONDS,
    TEXT,
    WIDTH_RATIO,
    Kind,
    Stored,
    nested,
    one_of,
    optional,
)
from proxyhpo._records.report import Report
from proxyhpo._records.run_id import RunId
from proxyhpo.errors import ArgumentError

__all__ = [
    "Config",
    "Death",
    "Record",
    "RecordState",
    "config_key",
]

Config = dict[str, Any]
"""Hyperparameter name → plain Python value (a choice of objects appears by its label)."""

RecordState = Literal["pending", "finished", "stopped", "failed"]


def _reports(data: Sequence[Mapping[str, Any]]) -> tuple[Report, ...]:
    return tuple(Report(**report) for report in data)


def config_key(config: Mapping[str, Any]) -> str:
    """A text that is equal exactly for equal configs, whatever the order of their names.

    >>> config_key({"b": 1, "a": 0.5}) == config_key({"a": 0.5, "b": 1})
    True
    """
    return json.dumps(config, sort_keys=True)


@dataclass(frozen=True)
class Record(Stored):
    """One training run of a trial.

    Args:
        trial: number of the trial, from 0.
        rung: index of the rung.
        replicate: 0 for the first run of this trial at this rung.
        config: in terms of the full network.
        trained_config: the config that the network was trained with, after the transfer.
        state: ``finished``, ``stopped`` (ended early by a stopper) or ``failed``.
        value: the value of the last report, or of the best one if the evaluator says so, in the
            user's direction; None if failed.
        loss: the same, lower is better; None if failed.
        reports: everything reported, in order.
        seconds: of building, pruning and training. If the training reported its own ``seconds``,
            they replace the measured training time.
        overhead_seconds: the part spent building and pruning.
        reason: why it failed, in one line; None otherwise.
        traceback: of the failure, if there was an exception.
        correction: how the updates were scaled; None on the full network, and under a transfer
            that scales none.
        width_ratio: of the network that was trained; None if it was never made, or made elsewhere.
        backward_passes: of the network; None if unknown, as for a training in other processes.
        started_at: when the run began, in seconds since the epoch; None if unknown. Equal records
            may differ in their times.
        ended_at: when the study learned of its end, likewise.
    """

    WHAT: ClassVar[str] = "a record"
    KINDS: ClassVar[Mapping[str, Kind]] = {
        "trial": COUNT,
        "rung": COUNT,
        "replicate": COUNT,
        "config": CONFIG,
        "trained_config": CONFIG,
        "state": one_of("finished", "stopped", "failed"),
        "value": optional(REAL),
        "loss": optional(REAL),
        "reports": REPORTS._replace(read=_reports),
        "seconds": SECONDS,
        "overhead_seconds": SECONDS,
        "reason": optional(TEXT),
        "traceback": optional(TEXT),
        "correction": optional(nested(Correction)),
        "width_ratio": optional(WIDTH_RATIO),
        "backward_passes": optional(COUNT),
        "started_at": optional(SECONDS),
        "ended_at": optional(SECONDS),
    }

    trial: int
    rung: int
    replicate: int
    config: Config
    trained_config: Config = field(repr=False)
    state: RecordState
    value: float | None = None
    loss: float | None = field(default=None, repr=False)
    # What takes lines or is rarely read is not printed.
    reports: Sequence[Report] = field(default=(), repr=False)
    seconds: float = 0.0
    overhead_seconds: float = field(default=0.0, repr=False)
    reason: str | None = None
    traceback: str | None = field(default=None, repr=False)
    correction: Correction | None = field(default=None, repr=False)
    width_ratio: float | None = field(default=None, repr=False)
    backward_passes: int | None = field(default=None, repr=False)
    started_at: float | None = field(default=None, compare=False, repr=False)
    ended_at: float | None = field(default=None, compare=False, repr=False)

    @property
    def id(self) -> RunId:
        """What identifies the training run."""
        return RunId(self.trial, self.rung, self.replicate)

    @property
    def values(self) -> tuple[float, ...]:
        """The value of each report, in order."""
        return tuple(report.value for report in self.reports)

    @property
    def metrics(self) -> Mapping[str, float]:
        """The last report's further numbers."""
        return self.reports[-1].metrics if self.reports else {}

    @property
    def training_seconds(self) -> float:
        """Of the run without building and pruning."""
        return max(0.0, self.seconds - self.overhead_seconds)

    @classmethod
    @override
    def check(cls, data: Mapping[str, Any]) -> None:
        """Rejects a failed record with a value, and any other record without one."""
        failed = data["state"] == "failed"
        for name in ("value", "loss"):
            if (data.get(name) is None) != failed:
                raise ArgumentError(
                    f"a {data['state']} record must {'not ' * failed}have a {name}, got "
                    f"{data.get(name)!r}"
                )


@dataclass(frozen=True)
class Death(Stored):
    """A training whose worker died, and which is tried again.

    Args:
        trial: number of the trial.
        rung: index of the rung.
        replicate: as in a record.
        reason: what killed the worker.
        seconds: of training that were lost with it.
    """

    WHAT: ClassVar[str] = "a death"
    KINDS: ClassVar[Mapping[str, Kind]] = {
        "trial": COUNT,
        "rung": COUNT,
        "replicate": COUNT,
        "reason": TEXT,
        "seconds": SECONDS,
    }

    trial: int
    rung: int
    replicate: int
    reason: str
    seconds: float

    @property
    def id(self) -> RunId:
        """What identifies the training run."""
        return RunId(self.trial, self.rung, self.replicate)
