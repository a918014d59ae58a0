"""The arguments that say on which networks trials start and how many of them climb."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from proxyhpo._engine.parts import Parts
from proxyhpo._problem import Problem
from proxyhpo._records.rung import Rung
from proxyhpo._validation import check_whole
from proxyhpo.errors import ArgumentError
from proxyhpo.searchers import Searcher
from proxyhpo.transfers import Transfer

__all__ = ["Climbing"]


@dataclass(frozen=True)
class Climbing:
    """The arguments of the facade that describe the climb, as they were given."""

    ladder: Sequence[Rung] | None
    density: float | None
    finalists: int | None
    proxies: bool | Literal["auto"]
    repeats: int | None

    def parts(
        self,
        problem: Problem,
        searcher: str | Searcher,
        transfer: str | Transfer,
        seed: int,
        controls: int,
    ) -> Parts:
        """What the engine needs to know about a study of the problem.

        Raises:
            ArgumentError: for an invalid argument, or for two that contradict each other.
        """
        wanted = self._wants_proxies()
        given = [Rung(1)] if wanted is False else self.ladder
        repeats = None if self.repeats is None else check_whole("repeats", self.repeats, 0)
        has_default = given is None and repeats is None
        return replace(
            problem.parts(
                problem.ladder(given, self.density, self.finalists),
                searcher,
                transfer,
                seed,
                controls,
            ),
            climbs_early=given is None,
            follows_trials=given is None and self.finalists is None,
            may_leave_proxies=wanted == "auto",
            repeats=None if has_default else repeats or 0,
            repeats_without_proxies=repeats or 0,
        )

    def _wants_proxies(self) -> bool | Literal["auto"]:
        """Whether to search on proxies; an argument that describes the ladder implies it."""
        if not (isinstance(self.proxies, bool) or self.proxies == "auto"):
            raise ArgumentError(f'proxies must be "auto", True or False, got {self.proxies!r}')
        about_ladder = ("ladder", "density", "finalists")
        named = [name for name in about_ladder if getattr(self, name) is not None]
        if self.proxies is False and named:
            raise ArgumentError(f"{named[0]}= cannot be used with proxies=False")
        return True if self.proxies == "auto" and named else self.proxies
