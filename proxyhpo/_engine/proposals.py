"""Which config a new trial gets: one that was enqueued, or what the searcher proposes."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from proxyhpo._engine.parts import Parts
from proxyhpo._records.history import History
from proxyhpo._records.records import Config
from proxyhpo._seeding import seed_sequence
from proxyhpo.searchers._interface import check_proposals

__all__ = ["Proposals"]


class Proposals:
    """Commits the configs of new trials.

    Args:
        parts: the parts of the study.
        history: of the study; what is written becomes a part of it.
        write: writes an event, as (kind, body).
        enqueued: configs to try before the searcher is asked. Each is tried once.
    """

    def __init__(
        self,
        parts: Parts,
        history: History,
        write: Callable[[str, Mapping[str, Any]], None],
        enqueued: Iterable[Config],
    ) -> None:
        self._parts = parts
        self._history = history
        self._write = write
        self._enqueued = deque(enqueued)
        self._exhausted = False

    @property
    def exhausted(self) -> bool:
        """Whether the searcher has nothing left to propose."""
        return self._exhausted

    @property
    def n_further(self) -> float:
        """How many more configs the searcher can propose, at least; 0 if it has none left."""
        if self._exhausted:
            return 0
        return self._parts.searcher.n_left(self._parts.space, self._seen)

    @property
    def _seen(self) -> History:
        """What the searcher sees."""
        return self._history.with_known(same_scale=self._parts.top == 0)

    def enqueue(self, config: Config) -> None:
        """Puts a config before what the searcher proposes."""
        self._enqueued.append(config)

    def commit(self, where: Mapping[str, int]) -> int | None:
        """Commits a new trial and returns its number, or None if there is nothing left to try.

        Args:
            where: the rung on which it starts, if it is not the first one.
        """
        number = len(self._history.trials)
        while self._enqueued:
            config: Config = self._enqueued.popleft()
            if not self._history.has(config):
                body = {"number": number, "config": config, "source": "enqueued", **where}
                self._write("trial", body)
                return number
        if self._exhausted:
            return None
        began = time.perf_counter()
        parts = self._parts
        rng = np.random.default_rng(seed_sequence("proposal", parts.seed, number))
        configs = check_proposals(
            parts.searcher, parts.searcher.propose(parts.space, self._seen, 1, rng=rng)
        )
        seconds = time.perf_counter() - began
        if not configs:
            self._exhausted = True
            return None
        config = parts.space.validate(configs[0], argument="the searcher's proposal")
        body = {"number": number, "config": config, "source": "searcher", "seconds": seconds}
        self._write("trial", {**body, **where})
        return number
