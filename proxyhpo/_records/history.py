"""The history of a study: its trials, and every training that has ended."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

from proxyhpo._records.known import KnownResult, normal_scores
from proxyhpo._records.opening import Measurement, Opening
from proxyhpo._records.records import Config, Death, Record, RecordState, config_key

__all__ = ["History", "Trial"]


@dataclass(frozen=True)
class Trial:
    """A config as a searcher sees it, with the result of its first training.

    Args:
        number: from 0, in order of proposal.
        config: in terms of the full network.
        state: ``pending`` until its first training has ended, at rung 0 as a rule.
        loss: lower is better; None if pending or failed.
    """

    number: int
    config: Config
    state: RecordState = "pending"
    loss: float | None = None


class History:
    """What is known so far. Strategies only read it; only the engine adds to it.

    >>> history = History()
    >>> history.add_trial({"lr": 0.1})
    0
    >>> history.pending
    [{'lr': 0.1}]
    >>> history.add_record(Record(0, 0, 0, {"lr": 0.1}, {"lr": 0.2}, "finished", 0.9, -0.9))
    >>> history.observed()
    [({'lr': 0.1}, -0.9)]
    >>> history
    <History: trials=1, trainings=1>
    """

    def __init__(self) -> None:
        self._trials: list[Trial] = []
        self._keys: set[str] = set()
        self._records: list[Record] = []
        self._openings: dict[int, Opening] = {}
        self._deaths: list[Death] = []
        self._measured: dict[int, Measurement] = {}
        self._known: list[KnownResult] = []
        self._controls: set[int] = set()

    def __repr__(self) -> str:
        return f"<History: trials={len(self._trials)}, trainings={len(self._records)}>"

    def snapshot(self) -> History:
        """A copy that is not updated any more."""
        copied = History()
        copied._trials = list(self._trials)
        copied._keys = set(self._keys)
        copied._records = list(self._records)
        copied._openings = dict(self._openings)
        copied._deaths = list(self._deaths)
        copied._measured = dict(self._measured)
        copied._known = list(self._known)
        copied._controls = set(self._controls)
        return copied

    def with_known(self, *, same_scale: bool) -> History:
        """What searchers see: known results come first, as finished trials.

        Args:
            same_scale: whether rung 0 trains the full network, as the known results do. Otherwise
                both kinds of losses are replaced by their normal scores.
        """
        if not self._known:
            return self
        ranked = list if same_scale else normal_scores
        shift, seen = len(self._known), History()
        losses = ranked([result.loss for result in self._known])
        seen._trials = [
            Trial(number, result.config, "finished", loss)
            for number, (result, loss) in enumerate(zip(self._known, losses, strict=True))
        ]
        own = iter(ranked([trial.loss for trial in self._trials if trial.loss is not None]))
        seen._trials += [
            replace(t, number=t.number + shift, loss=None if t.loss is None else next(own))
            for t in self._trials
        ]
        seen._keys = set(self._keys)
        seen._records = [replace(record, trial=record.trial + shift) for record in self._records]
        seen._openings = dict(self._openings)
        seen._measured = dict(self._measured)
        seen._controls = {trial + shift for trial in self._controls}
        return seen

    @property
    def known(self) -> Sequence[KnownResult]:
        """Results of the full network that were added; they are no trials of the study."""
        return self._known

    @property
    def measuring_seconds(self) -> float:
        """Seconds spent on measuring networks and on opening rungs."""
        measuring = sum(measured.seconds for measured in self._measured.values())
        return measuring + sum(opening.seconds for opening in self._openings.values())

    @property
    def measured(self) -> Mapping[int, Measurement]:
        """Rung index → measurement of its network. A rung is measured before it opens."""
        return self._measured

    @property
    def trials(self) -> Sequence[Trial]:
        """All trials ordered by number, including pending ones."""
        return self._trials

    @property
    def records(self) -> Sequence[Record]:
        """All trainings that have ended, on any rung, in the order in which they ended."""
        return self._records

    @property
    def openings(self) -> Mapping[int, Opening]:
        """Rung index → what was decided when it opened."""
        return self._openings

    @property
    def deaths(self) -> Sequence[Death]:
        """All trainings that were started again because their worker died, in order."""
        return self._deaths

    @property
    def controls(self) -> AbstractSet[int]:
        """The trials that reached the full network without being selected."""
        return self._controls

    @property
    def pending(self) -> list[Config]:
        """The configs whose first training has not ended, ordered by number."""
        return [trial.config for trial in self._trials if trial.state == "pending"]

    def has(self, config: Mapping[str, Any]) -> bool:
        """Whether this config has been proposed already, or its result is known."""
        return config_key(config) in self._keys

    def observed(self) -> list[tuple[Config, float]]:
        """(config, loss) of every trial that is not pending, ordered by number.

        A stopped trial counts with its last loss, or with the median loss of the finished trials if
        that is worse: if losses rise as a network overfits, the early loss of a bad config is low.
        A failed trial counts with the worst loss so far (0.0 if there is none), so that searchers
        avoid similar configs.
        """
        finished = [t.loss for t in self._trials if t.state == "finished" and t.loss is not None]
        worst = max((t.loss for t in self._trials if t.loss is not None), default=0.0)
        usual = median(finished) if finished else -math.inf

        def counted(trial: Trial) -> float:
            if trial.loss is None:
                return worst
            return max(trial.loss, usual) if trial.state == "stopped" else trial.loss

        return [(t.config, counted(t)) for t in self._trials if t.state != "pending"]

    def add_trial(self, config: Config) -> int:
        """Adds a proposal and returns its number."""
        number = len(self._trials)
        self._trials.append(Trial(number, config))
        self._keys.add(config_key(config))
        return number

    def add_known(self, result: KnownResult) -> None:
        """Notes a result that is known without a training."""
        self._known.append(result)
        self._keys.add(config_key(result.config))

    def add_record(self, record: Record) -> None:
        """Adds a training that has ended. Searchers see the first one of each trial."""
        self._records.append(record)
        if self._trials[record.trial].state == "pending":
            self._trials[record.trial] = Trial(
                record.trial, record.config, record.state, record.loss
            )

    def add_death(self, death: Death) -> None:
        """Adds a death, after which the training is started again."""
        self._deaths.append(death)

    def add_control(self, trial: int) -> None:
        """Notes that a trial is promoted although it was not selected."""
        self._controls.add(trial)

    def add_opening(self, opening: Opening) -> None:
        """Adds the opening of a rung."""
        self._openings[opening.rung] = opening

    def add_measurement(self, measurement: Measurement) -> None:
        """Adds the measurement of a rung."""
        self._measured[measurement.rung] = measurement
