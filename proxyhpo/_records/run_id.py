"""What identifies a training run within its study."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["RunId"]


@dataclass(frozen=True, order=True)
class RunId:
    """Identifies one training run within its study.

    Args:
        trial: number of the trial, from 0.
        rung: index of the rung.
        replicate: 0 for the first run of this trial at this rung.

    >>> RunId(3, 1).name
    'trial-3-rung-1'
    >>> RunId(3, 1, replicate=2).name
    'trial-3-rung-1-replicate-2'
    """

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
        return f"trial-{self.trial:d}-rung-{self.rung:d}{suffix}"
