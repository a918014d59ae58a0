"""What identifies a training run within its study."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["RunId", "RunKind"]

RunKind = Literal["trial", "probe"]


@dataclass(frozen=True, order=True)
class RunId:
    """Identifies one training run within its study.

    Args:
        kind: ``"trial"``, or ``"probe"`` for a training from which the transfer learns.
        trial: number of the trial (or of the probe), from 0.
        rung: index of the rung.
        replicate: 0 for the first run of this trial at this rung.

    >>> RunId("trial", 3, 1).name
    'trial-3-rung-1'
    >>> RunId("trial", 3, 1, replicate=2).name
    'trial-3-rung-1-replicate-2'
    """

    kind: RunKind
    trial: int
    rung: int
    replicate: int = 0

    @property
    def name(self) -> str:
        """A name that is unique within the study, for folders, weights and trackers.

        Raises:
            ValueError: if a number is not a whole number, since the name becomes a path.
        """
        suffix = f"-replicate-{self.replicate:d}" if self.replicate else ""
        return f"{self.kind}-{self.trial:d}-rung-{self.rung:d}{suffix}"
