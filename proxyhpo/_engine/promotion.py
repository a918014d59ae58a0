"""Which trials are promoted, early or at the end, and which are trained under a second seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet

import numpy as np

from proxyhpo._engine.ladder import AT_END, early_climbs, finalists_of, repeats_of
from proxyhpo._engine.parts import Parts
from proxyhpo._engine.standing import noise_of, standings
from proxyhpo._engine.state import State
from proxyhpo._records.records import Record
from proxyhpo._records.run_id import RunId
from proxyhpo._seeding import seed_sequence

__all__ = ["Promotions", "places", "promotable"]


class Promotions:
    """Selects the next trial to promote, from the state alone, without changing it.

    A trial is promoted as soon as it is certain to be among the best of its rung, whatever the
    results of the outstanding trials of that rung. If the study promotes early, the best of the
    first trials is promoted without this certainty, and the remaining places go to the best of the
    other trials.

    Args:
        parts: of the study.
        state: of the study.
    """

    def __init__(self, parts: Parts, state: State) -> None:
        self._parts = parts
        self._state = state

    def early(self, to_come: float, is_doubtful: Callable[[], bool]) -> RunId | None:
        """The training of the best of the first trials, if it is time to promote one of them.

        The choice depends on which trials have ended and not on when, so it can be repeated. Only
        ``is_doubtful`` depends on measured times, which the records contain.

        Args:
            to_come: how many more trials may enter rung 0.
            is_doubtful: whether it is doubtful that proxies save enough. If so, and if more trials
                may follow, the best trial is trained on the full network at once, to measure the
                saving. The function reads all records, which takes time, so it is only called
                before the first point for an early training.
        """
        if not self._parts.climbs_early:
            return None
        state = self._state
        ended = state.ended[0]
        known = next(n for n in range(len(ended) + 1) if n not in ended)
        points = early_climbs(self._keep(1, to_come), len(state.entered[0]) + to_come)
        due = [point for point in points if point <= known]
        if not due and to_come and is_doubtful():
            due = [known]
        failed = sum(self._has_failed(trial, 1) for trial in state.early)
        if len(state.early) >= places(len(due), failed):
            return None
        first = {trial: record for trial, record in ended.items() if trial < due[-1]}
        best = [trial for trial in _ranked(first) if trial not in state.entered[1]]
        return RunId(best[0], 1) if best else None

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

        Controls are drawn when all promotions from rung 0 are known. They show whether the proxy
        ranks configs well. The selected trials alone cannot show it.

        Args:
            to_come: how many more trials may enter rung 0.
        """
        state, top, drawn = self._state, self._parts.top, len(self._state.history.controls)
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

    def repeats(self) -> list[RunId]:
        """The trainings of the two best trials under another seed, if chance may have ranked them.

        It is called when nothing else is left to do. How much values vary with the seed is unknown
        until a trial has several. After that, two values are too close if this noise may explain
        their difference. If one trial has fewer seeds, only that trial is trained.
        """
        state = self._state
        left = self._most_repeats(0) - len(state.repeated)
        if left <= 0 or len(state.leaders) < 2 or state.unfinished:
            return []
        noise = noise_of(standings(state.history.records, self._parts.top))
        first, second = state.leaders[:2]
        if not first.is_near(second, noise):
            return []
        fewest = min(len(first.runs), len(second.runs))
        again = [each.trial for each in (first, second) if len(each.runs) == fewest][:left]
        return [RunId(t, self._parts.top, state.seeds_of(t)) for t in again]

    def expected_repeats(self, to_come: float) -> int:
        """The smallest expected number of repeats, including those that were made.

        The first two are made whatever the values are. Whether others follow depends on the values.

        Args:
            to_come: how many more trials may enter rung 0.
        """
        return max(len(self._state.repeated), min(2, self._most_repeats(to_come)))

    def _most_repeats(self, to_come: float) -> int:
        parts, state = self._parts, self._state
        most = parts.repeats_without_proxies if state.why_full else parts.repeats
        if most is not None:
            return most
        return repeats_of(len(state.entered[0]) + to_come, state.repeated_before)

    def _certain(self, rung: int, to_come: float) -> list[int]:
        below = self._outstanding(rung - 1, to_come)
        if below == float("inf"):
            return []
        return self._promotable(rung, int(below), to_come)

    def _promotable(self, rung: int, outstanding: int, to_come: float) -> list[int]:
        early = self._state.early if rung == 1 else set()
        others = {t: record for t, record in self._state.ended[rung - 1].items() if t not in early}
        left = self.places(rung, to_come) - len(early)
        return promotable(others, outstanding, left, self._state.entered[rung].keys())

    def to_climb(self, to_come: int) -> dict[int, int]:
        """Rung → how many trainings are still to be made, including running ones.

        Args:
            to_come: how many trials will enter rung 0 before the search is closed.
        """
        found: dict[int, int] = {}
        more = to_come
        for rung in range(1, self._parts.top + 1):
            early = len(self._state.early) if rung == 1 else 0
            left = max(0, self.places(rung, to_come) - early)
            entered, ended = self._state.entered[rung], self._state.ended[rung]
            taken = sum(trial not in self._state.history.controls for trial in entered) - early
            ready = len(self._promotable(rung, 0, to_come))
            # New trials may take free places; they rarely replace a promoted trial.
            more = ready + min(more, max(0, left - ready - taken))
            found[rung] = more + len(entered) - len(ended)
        if not found:  # a search without proxies has no controls either
            return found
        controls = self._parts.controls - len(self._state.history.controls)
        found[self._parts.top] += min(max(0, controls), len(self._state.entered[0]))
        return found

    def places(self, rung: int, to_come: float) -> int:
        """How many trials may enter a rung, including those that replace failed ones.

        Args:
            rung: above the first.
            to_come: how many more trials may enter rung 0.
        """
        ended, controls = self._state.ended[rung], self._state.history.controls
        below = self._state.entered[rung - 1]
        failures = sum(
            self._has_failed(trial, rung)
            for trial in ended
            if trial in below and trial not in controls
        )
        return places(self._keep(rung, to_come), failures)

    def _keep(self, rung: int, to_come: float) -> int:
        """How many trials may enter a rung, not counting failed ones."""
        state = self._state
        if not self._parts.follows_trials:
            return self._parts.ladder[rung - 1].keep or 0
        keep = finalists_of(len(state.entered[0]) + to_come)
        if state.why_full:
            return keep
        # A search may end sooner than it was planned. Even then there are places at its end.
        early = sum(not self._has_failed(trial, 1) for trial in state.early)
        return max(keep, early + min(early, AT_END))

    def _has_failed(self, trial: int, rung: int) -> bool:
        record = self._state.ended[rung].get(trial)
        return record is not None and record.state == "failed"

    def _outstanding(self, rung: int, to_come: float) -> float:
        """How many more trials may end at a rung: running ones and those that may still enter."""
        running = len(self._state.entered[rung]) - len(self._state.ended[rung])
        if rung == 0:
            return running + to_come
        if self._outstanding(rung - 1, to_come) > 0:
            return running + self.places(rung, to_come)
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
    certain = _ranked(ended)[: n_places - outstanding]
    return [trial for trial in certain if trial not in entered]


def _ranked(ended: Mapping[int, Record]) -> list[int]:
    """The trials that did not fail, best first; stopped ones come last."""
    ranked = sorted(
        (record.state == "stopped", record.loss, trial)
        for trial, record in ended.items()
        if record.loss is not None
    )
    return [trial for _, _, trial in ranked]
