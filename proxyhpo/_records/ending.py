"""How a run ended, and how the search goes on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

__all__ = ["EXHAUSTED", "Ending", "running", "unfinished"]

EXHAUSTED = "the searcher has no further config to propose"


@dataclass(frozen=True)
class Ending:
    """How a run of a study ended. The default is that of a run that made all it was asked for.

    Args:
        state: ``complete`` if no training of the search is left to make, or if this is unknown: a
            store does not contain how a run ended, so only the result that the run returns has it.
            ``cut`` if a limit left out finalists or their repeats. ``interrupted`` if Ctrl-C,
            ``stop`` or a limit ended the run before its trials were complete. ``running`` if the
            study still runs.
        why: why the run did not make all it was asked for, in words.
        how: how the search goes on, in words; it names a call or an argument.
        n_further: how many more configs the searcher can propose, at least; infinite if unknown.
    """

    state: Literal["complete", "cut", "interrupted", "running"] = "complete"
    why: str = ""
    how: str = ""
    n_further: float = math.inf

    @property
    def text(self) -> str:
        """Why the run ended, and how the search goes on; empty if there is nothing to say."""
        return "; ".join(filter(None, (self.why, self.how)))


def unfinished() -> Ending:
    """The ending of a stored study that does not run and has unfinished trainings."""
    return Ending("interrupted", how="run the script of the study again to resume it")


def running(writer: str = "") -> Ending:
    """The ending of a study that still runs.

    Args:
        writer: which process runs it, as a sentence.
    """
    return Ending("running", f"the study is running{': ' if writer else ''}{writer}")
