"""Which trials are promoted: the ones that are certain to be among the best, and the controls."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet

import numpy as np

from proxyhpo._engine.parts import Parts
from proxyhpo._engine.state import State
from proxyhpo._records.records import Record
from proxyhpo._records.run_id import RunId
from proxyhpo._seeding import seed_sequence

__all__ = ["Promotions", "places", "promotable"]


class Promotions:
    """Selects the next trial to promote, from the state alone. It changes nothing.

    A trial is promoted as soon as it is certain to be among the best of its rung, however the
    outstanding trials of that rung turn out.

    Args:
        parts: of the study.
        state: of the study.
    """

    def __init__(self, parts: Parts, state: State) -> None:
        self._parts = parts
        self._state = state

    def next(self, to_come: float) -> RunId | None:
        """The training of the next promoted trial, on the highest rung for which there is one.

        Args:
            to_come: how many more trials may enter rung 0.
        """
        for rung in range(self._parts.top, 0, -1):
            if certain := self._certain(rung, to_come):
                return RunId(certain[0], rung)
        return None

    def control(self, to_come: float) -> RunId | None:
        """The training of a control: a trial that was not selected, trained on the full network.

        Controls are drawn once all promotions from rung 0 are known. They show whether the proxy
        ranks configs well, which the selected trials alone cannot show.

        Args:
            to_come: how many more trials may enter rung 0.
        """
        state, top, drawn = self._state, self._parts.top, len(self._state.controls)
        if not top or drawn >= self._parts.controls or self._outstanding(0, to_come) > 0:
            return None
        climbing = state.entered[1].keys() | state.entered[top].keys()
        left = [
            trial
            for trial, record in sorted(state.ended[0].items())
            if record.state == "finished" and trial not in climbing
        ]
        if not left:
            return None
        rng = np.random.default_rng(seed_sequence("control", self._parts.seed, drawn))
        return RunId(int(rng.choice(left)), top)

    def _certain(self, rung: int, to_come: float) -> list[int]:
        below = self._outstanding(rung - 1, to_come)
        if below == float("inf"):
            return []
        ended, entered = self._state.ended[rung - 1], self._state.entered[rung].keys()
        return promotable(ended, int(below), self._places(rung), entered)

    def _places(self, rung: int) -> int:
        failures = sum(
            record.state == "failed"
            for trial, record in self._state.ended[rung].items()
            if trial not in self._state.controls
        )
        return places(self._parts.ladder[rung - 1].keep or 0, failures)

    def _outstanding(self, rung: int, to_come: float) -> float:
        """How many more trials may end at a rung: running ones and those that may still enter."""
        running = len(self._state.entered[rung]) - len(self._state.ended[rung])
        if rung == 0:
            return running + to_come
        if self._outstanding(rung - 1, to_come) > 0:
            return running + self._places(rung)
        return running + len(self._certain(rung, to_come))


def places(keep: int, failures: int) -> int:
    """How many trials may enter a rung: ``keep`` and one for each failure, at most twice that."""
    return keep + min(failures, keep)


def promotable(
    ended: Mapping[int, Record], outstanding: int, n_places: int, entered: AbstractSet[int]
) -> list[int]:
    """The trials that are certain to be among the best ``n_places`` of a rung, best first.

    Args:
        ended: trial → its record at the rung.
        outstanding: how many more trials may end at the rung. Each of them might be better.
        n_places: how many may enter the rung above.
        entered: the trials that have already entered the rung above.
    """
    if outstanding >= n_places:
        return []
    ranked = sorted(
        (record.state == "stopped", record.loss, trial)
        for trial, record in ended.items()
        if record.loss is not None
    )
    certain = [trial for _, _, trial in ranked[: n_places - outstanding]]
    return [trial for trial in certain if trial not in entered]
