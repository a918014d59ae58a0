"""The interface of stoppers, and the curves that they compare."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import final, overload

from typing_extensions import override

__all__ = ["Curve", "Stopper"]


@final
class Curve(Sequence[float]):
    """The losses that a training has reported, lower is better, with their best and mean.

    A sequence whose entry 0 is the loss after step 1. Best and mean are updated with each loss, so
    that they take the same time at every step.

    Args:
        losses: in the order reported.

    >>> curve = Curve([3.0, 1.0, 2.0])
    >>> curve.best(), curve.best(1), curve.mean(2), curve[-1]
    (1.0, 3.0, 2.0, 2.0)
    """

    def __init__(self, losses: Iterable[float] = ()) -> None:
        self._losses: list[float] = []
        self._best: list[float] = []
        self._sums: list[float] = []
        for loss in losses:
            self.append(loss)

    def append(self, loss: float) -> None:
        """Adds a loss; for the engine, not for stoppers."""
        self._losses.append(loss)
        self._best.append(min(loss, self._best[-1]) if self._best else loss)
        self._sums.append(loss + self._sums[-1] if self._sums else loss)

    def best(self, step: int | None = None) -> float:
        """The lowest loss of the first ``step`` steps, by default of all.

        Raises:
            IndexError: if there are fewer steps, or none.
        """
        return self._best[self._index(step)]

    def mean(self, step: int | None = None) -> float:
        """The mean loss of the first ``step`` steps, by default of all.

        Raises:
            IndexError: if there are fewer steps, or none.
        """
        index = self._index(step)
        # Rounding must not make the mean of equal losses smaller than them.
        return max(self._best[index], self._sums[index] / (index + 1))

    def _index(self, step: int | None) -> int:
        wanted = len(self) if step is None else step
        if not 1 <= wanted <= len(self):
            raise IndexError(f"step must be in [1, {len(self)}], got {wanted}")
        return wanted - 1

    @override
    def __len__(self) -> int:
        return len(self._losses)

    @overload
    def __getitem__(self, index: int) -> float: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[float]: ...
    @override
    def __getitem__(self, index: int | slice) -> float | Sequence[float]:
        return self._losses[index]

    @override
    def __iter__(self) -> Iterator[float]:
        return iter(self._losses)

    @override
    def __repr__(self) -> str:
        return f"Curve({self._losses})"


class Stopper(ABC):
    """Decides when a training is ended early. It has settings but no state and no randomness."""

    @abstractmethod
    def should_stop(self, losses: Curve, peers: Sequence[Curve]) -> bool:
        """Whether a training ends now. It then counts with its last loss.

        Called after each report of a training, as long as some peer has trained longer. Beyond that
        there is nothing to compare with, and nothing to save.

        Args:
            losses: of the training so far; ``len(losses)`` is its current step, >= 1.
            peers: the curves to compare with, in no particular order. Some may be shorter than
                ``losses``, because they were stopped or had fewer steps. Read-only.

        Returns:
            True to end it. A training that has been at least as good as every peer at every step
            must not be ended, nor one that has been better than another one that continues.
        """
