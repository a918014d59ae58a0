"""The state of a study, rebuilt from its events alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from typing_extensions import Self

from proxyhpo._engine.standing import Standing, standings
from proxyhpo._records.fields import (
    CONFIG,
    COUNT,
    MALFORMED,
    REAL,
    SECONDS,
    TEXT,
    Stored,
    check_fields,
)
from proxyhpo._records.history import History
from proxyhpo._records.known import KnownResult
from proxyhpo._records.opening import Measurement, Opening
from proxyhpo._records.records import Death, Record
from proxyhpo._records.run_id import RunId
from proxyhpo.errors import StoreError

__all__ = ["State", "check_event"]

_TRIAL = {"number": COUNT, "config": CONFIG, "seconds": SECONDS, "source": TEXT, "rung": COUNT}

_STORED: Mapping[str, type[Stored]] = {
    "measured": Measurement,
    "opening": Opening,
    "death": Death,
    "record": Record,
    "known": KnownResult,
}
"""Kind of event → type of its body."""

_LIMITS = ("worth", "base_trainings")
"""Arguments of a run for which a search may be closed, and stay closed in later runs."""

LEADERS = 3
"""Trials of the full network whose weights are kept."""


class State:
    """Trials, trainings and promotions.

    Args:
        n_rungs: number of rungs of the ladder.
    """

    def __init__(self, n_rungs: int) -> None:
        self.history = History()
        self.entered: list[dict[int, int]] = [{} for _ in range(n_rungs)]
        """Per rung: trial → number of trainings that had ended there when it entered, in order."""
        self.ended: list[dict[int, Record]] = [{} for _ in range(n_rungs)]
        """Per rung: trial → its record, of the trainings that have ended there."""
        self.leaders: list[Standing] = []
        """The best trials of the full network, :data:`LEADERS` at most, by the mean over seeds."""
        self.repeated: list[RunId] = []
        """The trainings of the full network under a further seed that have started, in order."""
        self.repeated_before = 0
        """How many of them there were when the last trial was added."""
        self.early: set[int] = set()
        """The trials that were promoted from rung 0 before all of its trials had ended."""
        self.why_full = ""
        """Why new trials start on the full network, in one sentence; empty if they do not."""
        self._closed: dict[str, float] = {}  # limit → value; see is_closed
        self.search_seconds = 0.0
        self._repeats_ended: set[RunId] = set()
        self.batch_is_open = False
        """Whether any training was decided on since the last batch was closed."""
        self._effects: Mapping[str, Callable[[Mapping[str, Any]], None]] = {
            "trial": self._add_trial,
            "promotion": self._promote,
            "repeats": self._repeat,
            "full": self._leave_proxies,
            "closed": self._close,
            "batch": self._close_batch,
            "measured": self._measure,
            "opening": self._open,
            "record": self._add_record,
            "death": self._add_death,
            "known": self._add_known,
        }

    @classmethod
    def replay(cls, n_rungs: int, events: Iterable[tuple[str, Mapping[str, Any]]]) -> Self:
        """The state after these events.

        Raises:
            StoreError: if they are not the events of a study with this number of rungs.
        """
        state = cls(n_rungs)
        try:
            for kind, body in events:
                state.apply(kind, body)
        except MALFORMED as error:  # a foreign file may contain anything
            raise StoreError(
                f"the store contains no valid events of a study: {type(error).__name__}: {error}"
            ) from error
        return state

    @property
    def unfinished(self) -> list[RunId]:
        """Every training that has started and has not ended."""
        first = [
            RunId(trial, rung)
            for rung, entered in enumerate(self.entered)
            for trial in entered
            if trial not in self.ended[rung]
        ]
        return first + [run for run in self.repeated if run not in self._repeats_ended]

    def has_ended(self, run: RunId) -> bool:
        """Whether this training has a record."""
        return run in self._repeats_ended if run.replicate else run.trial in self.ended[run.rung]

    @property
    def best(self) -> Record | None:
        """The best run of the best trial of the full network."""
        return self.leaders[0].best if self.leaders else None

    def apply(self, kind: str, body: Mapping[str, Any]) -> None:
        """Applies an event. Kinds that do not concern the study are ignored."""
        if kind in self._effects:
            self._effects[kind](body)

    def is_closed(self, limit: str, value: float) -> bool:
        """Whether no new trial may start for this limit, by a decision of this or an earlier run.

        Args:
            limit: ``worth`` or ``base_trainings``.
            value: of the limit. The decision also holds for stricter values.
        """
        if limit not in self._closed:
            return False
        decided = self._closed[limit]
        return value >= decided if limit == "worth" else value <= decided

    def leaders_with(self, record: Record) -> list[Standing]:
        """The best trials of the full network, this training of it included."""
        if record.rung != len(self.ended) - 1 or record.state != "finished":
            return self.leaders
        if record.replicate:  # its trial's mean may get worse, so another trial may take its place
            return standings([*self.history.records, record], record.rung)[:LEADERS]
        ranked = sorted([*self.leaders, Standing(record.trial, [record])], key=lambda s: s.rank)
        return ranked[:LEADERS]

    def _close_batch(self, _: Mapping[str, Any]) -> None:
        self.batch_is_open = False

    def _add_trial(self, body: Mapping[str, Any]) -> None:
        self.batch_is_open = True
        check_fields("a trial", body, _TRIAL, required=("number", "config"))
        number = self.history.add_trial(dict(body["config"]))
        if body["number"] != number:
            raise ValueError(f"trial {number} is numbered {body['number']!r:.80}")
        rung = body.get("rung", 0)
        self._check("rung", rung, len(self.ended))
        self.entered[rung][number] = len(self.ended[rung])
        self._closed = {}
        self.repeated_before = len(self.repeated)
        self.search_seconds += body.get("seconds", 0.0)

    def _promote(self, body: Mapping[str, Any]) -> None:
        self.batch_is_open = True
        trial, rung = body["trial"], body["rung"]
        self._check("rung", rung, len(self.ended))
        self._check("trial", trial, len(self.history.trials))
        self.entered[rung][trial] = len(self.ended[rung])
        if body.get("control") is True:
            self.history.add_control(trial)
        if body.get("early") is True:
            self.early.add(trial)

    def _repeat(self, body: Mapping[str, Any]) -> None:
        self.batch_is_open = True
        top = len(self.ended) - 1
        for trial, replicate in body["runs"]:
            self._check("trial", trial, len(self.history.trials))
            if trial not in self.ended[top] or replicate != self.seeds_of(trial):
                raise ValueError(f"there is no further seed {replicate!r:.80} of trial {trial}")
            self.repeated.append(RunId(trial, top, replicate))

    def _leave_proxies(self, body: Mapping[str, Any]) -> None:
        check_fields("a decision", body, {"why": TEXT}, required=("why",))
        self.why_full = body["why"]

    def _close(self, body: Mapping[str, Any]) -> None:
        check_fields("a decision", body, dict.fromkeys(_LIMITS, REAL), required=())
        self._closed |= body

    def seeds_of(self, trial: int) -> int:
        """The number of seeds under which trainings of a trial on the full network have started."""
        return 1 + sum(run.trial == trial for run in self.repeated)

    def _open(self, body: Mapping[str, Any]) -> None:
        opening = Opening.from_json(body)
        if opening.rung not in self.history.measured:
            raise ValueError(f"rung {opening.rung} was opened without a measurement")
        self.history.add_opening(opening)

    def _measure(self, body: Mapping[str, Any]) -> None:
        measurement = Measurement.from_json(body)
        self._check("rung", measurement.rung, len(self.ended))
        self.history.add_measurement(measurement)

    def _add_death(self, body: Mapping[str, Any]) -> None:
        death = Death.from_json(body)
        self._check_runs(death)
        self.history.add_death(death)

    def _add_known(self, body: Mapping[str, Any]) -> None:
        result = KnownResult.from_json(body)
        if self.history.has(result.config):
            raise ValueError(f"the result of {result.config} is known twice, or was found here")
        self.history.add_known(result)

    def _add_record(self, body: Mapping[str, Any]) -> None:
        record = Record.from_json(body)
        self._check_runs(record)
        if record.config != self.history.trials[record.trial].config:
            raise ValueError(f"a record of trial {record.trial} has another config than the trial")
        self.leaders = self.leaders_with(record)
        self.history.add_record(record)
        if record.replicate:
            self._repeats_ended.add(record.id)
        else:
            self.ended[record.rung][record.trial] = record

    def _check_runs(self, run: Record | Death) -> None:
        """A training can end, or die, only if it has started and not ended."""
        self._check("rung", run.rung, len(self.ended))
        self._check("trial", run.trial, len(self.history.trials))
        if run.replicate:
            if run.id not in self.repeated:
                raise ValueError(f"trial {run.trial} is not trained under seed {run.replicate}")
            if run.id in self._repeats_ended:
                raise ValueError(f"trial {run.trial} has already ended under seed {run.replicate}")
            return
        if run.trial not in self.entered[run.rung]:
            raise ValueError(f"trial {run.trial} has not entered rung {run.rung}")
        if run.trial in self.ended[run.rung]:
            raise ValueError(f"trial {run.trial} has already ended at rung {run.rung}")

    @staticmethod
    def _check(what: str, number: object, limit: int) -> None:
        if type(number) is not int or not 0 <= number < limit:
            raise ValueError(f"there is no {what} {number!r:.80}")


def check_event(kind: str, body: Mapping[str, Any]) -> None:
    """Rejects values measured or reported by plug-ins that could not be read back.

    Raises:
        ArgumentError: names the field.
    """
    if kind in _STORED:
        _STORED[kind].from_json(body)
