"""What a study knows: a fold over its events, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from typing_extensions import Self

from proxyhpo._records.fields import CONFIG, COUNT, SECONDS, TEXT, Stored, check_fields
from proxyhpo._records.history import History
from proxyhpo._records.opening import Measurement, Opening
from proxyhpo._records.records import Death, Record
from proxyhpo._records.run_id import RunId
from proxyhpo.errors import StoreError

__all__ = ["State", "check_event"]

_TRIAL = {"number": COUNT, "config": CONFIG, "seconds": SECONDS, "source": TEXT}

_STORED: Mapping[str, type[Stored]] = {
    "measured": Measurement,
    "opening": Opening,
    "death": Death,
    "record": Record,
}
"""Kind of event → what its body is."""

_MALFORMED = (
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,  # ArgumentError is one
)


class State:
    """Trials, training runs, and who has climbed where.

    Args:
        n_rungs: of the ladder.
    """

    def __init__(self, n_rungs: int) -> None:
        self.history = History()
        self.entered: list[dict[int, int]] = [{} for _ in range(n_rungs)]
        """Of each rung, the trials that have entered it, in order, and after how many endings."""
        self.ended: list[dict[int, Record]] = [{} for _ in range(n_rungs)]
        """Of each rung, the record of every trial that has ended there."""
        self.best: Record | None = None
        """The best training of the full network."""
        self.controls: set[int] = set()
        """The trials that climbed to the full network without being picked for it."""
        self.search_seconds = 0.0
        self.batch_is_open = False
        """Whether trainings were decided on since the last batch of them was closed."""
        self._effects: Mapping[str, Callable[[Mapping[str, Any]], None]] = {
            "trial": self._add_trial,
            "promotion": self._promote,
            "batch": self._close_batch,
            "measured": self._measure,
            "opening": self._open,
            "record": self._add_record,
            "death": self._add_death,
        }

    @classmethod
    def replay(cls, n_rungs: int, events: Iterable[tuple[str, Mapping[str, Any]]]) -> Self:
        """The state after these events.

        Raises:
            StoreError: if they are not those of a study with so many rungs.
        """
        state = cls(n_rungs)
        try:
            for kind, body in events:
                state.apply(kind, body)
        except _MALFORMED as error:  # a file from others may hold anything under any name
            raise StoreError(
                f"the store holds no events of a study: {type(error).__name__}: {error}"
            ) from error
        return state

    @property
    def unfinished(self) -> list[RunId]:
        """Every training that has begun and has not ended."""
        return [
            RunId(trial, rung)
            for rung, entered in enumerate(self.entered)
            for trial in entered
            if trial not in self.ended[rung]
        ]

    def apply(self, kind: str, body: Mapping[str, Any]) -> None:
        """Moves on by an event; kinds that are not the study's business are passed over."""
        if kind in self._effects:
            self._effects[kind](body)

    def is_better(self, record: Record) -> bool:
        """Whether this run of the full network is better than any before it."""
        if record.rung != len(self.ended) - 1 or record.state != "finished" or record.loss is None:
            return False
        return self.best is None or self.best.loss is None or record.loss < self.best.loss

    def _close_batch(self, _: Mapping[str, Any]) -> None:
        self.batch_is_open = False

    def _add_trial(self, body: Mapping[str, Any]) -> None:
        self.batch_is_open = True
        check_fields("a trial", body, _TRIAL, required=("number", "config"))
        number = self.history.add_trial(dict(body["config"]))
        if body["number"] != number:
            raise ValueError(f"trial {number} is called {body['number']!r:.80}")
        self.entered[0][number] = len(self.ended[0])
        self.search_seconds += body.get("seconds", 0.0)

    def _promote(self, body: Mapping[str, Any]) -> None:
        self.batch_is_open = True
        trial, rung = body["trial"], body["rung"]
        self._check("rung", rung, len(self.ended))
        self._check("trial", trial, len(self.history.trials))
        self.entered[rung][trial] = len(self.ended[rung])
        if body.get("control") is True:
            self.controls.add(trial)

    def _open(self, body: Mapping[str, Any]) -> None:
        opening = Opening.from_json(body)
        if opening.rung not in self.history.measured:
            raise ValueError(f"rung {opening.rung} has opened without having been measured")
        self.history.add_opening(opening)

    def _measure(self, body: Mapping[str, Any]) -> None:
        measurement = Measurement.from_json(body)
        self._check("rung", measurement.rung, len(self.ended))
        self.history.add_measurement(measurement)

    def _add_death(self, body: Mapping[str, Any]) -> None:
        death = Death.from_json(body)
        self._check_runs(death)
        self.history.add_death(death)

    def _add_record(self, body: Mapping[str, Any]) -> None:
        record = Record.from_json(body)
        self._check_runs(record)
        if record.config != self.history.trials[record.trial].config:
            raise ValueError(f"a record of trial {record.trial} has another config")
        if self.is_better(record):
            self.best = record
        self.history.add_record(record)
        self.ended[record.rung][record.trial] = record

    def _check_runs(self, run: Record | Death) -> None:
        """A run can end, or die, if it has begun and has not ended."""
        self._check("rung", run.rung, len(self.ended))
        self._check("trial", run.trial, len(self.history.trials))
        self._check("replicate", run.replicate, 1)
        if run.trial not in self.entered[run.rung]:
            raise ValueError(f"trial {run.trial} has not entered rung {run.rung}")
        if run.trial in self.ended[run.rung]:
            raise ValueError(f"trial {run.trial} has ended at rung {run.rung} already")

    @staticmethod
    def _check(what: str, number: object, limit: int) -> None:
        if type(number) is not int or not 0 <= number < limit:
            raise ValueError(f"there is no {what} {number!r:.80}")


def check_event(kind: str, body: Mapping[str, Any]) -> None:
    """Refuses what a plug-in measured or reported that could not be read back.

    Raises:
        ArgumentError: naming the field.
    """
    if kind in _STORED:
        _STORED[kind].from_json(body)
