"""Evaluators train a network with a config and report how good it is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn

    from proxyhpo._records.records import Config, Report
    from proxyhpo.space import Space

__all__ = ["Direction", "ProxyEvaluator"]

Direction = Literal["minimize", "maximize"]


class ProxyEvaluator(ABC):
    """Trains a network (a proxy, or the full network itself) and reports its value."""

    @abstractmethod
    def evaluate(
        self, network: nn.Module, config: Config, *, budget: float, seed: int
    ) -> Iterator[Report]:
        """Trains the network in place; yields a report after each step, such as an epoch.

        The last report's value is the trial's. To stop a training early the engine closes the
        iterator, so a generator's ``finally`` runs. Global random states (``random``, numpy,
        torch) have been seeded before the call; ``seed`` is for generators of one's own.

        Args:
            network: freshly built (and pruned); not shared with any other training.
            config: what to train with, after the transfer; objects of a labelled choice
                appear as the objects themselves.
            budget: fraction of a full training, in (0, 1].
            seed: in [0, 2**63).

        Yields:
            At least one report.
        """

    @property
    def takes_budget(self) -> bool:
        """Whether a budget below 1 is honoured (so that schedules anneal); False refuses one."""
        return True

    @property
    def takes_checkpoint_dir(self) -> bool:
        """Whether ``evaluate`` has a further keyword argument ``checkpoint_dir``.

        It then gets an existing folder (a ``pathlib.Path``), which is the same one whenever the
        same training is begun anew because its process was killed, and is removed once the
        training has ended.
        """
        return False

    @property
    def direction(self) -> Direction | None:
        """The direction of its values, where the evaluator knows it; None leaves it to the user."""
        return None

    @property
    def device(self) -> str | None:
        """Where it trains, such as ``"cuda:0"``, where the evaluator knows it; None otherwise."""
        return None

    def check(self, space: Space) -> None:  # noqa: B027 - most evaluators can train with any space
        """Refuses a space that it cannot train with; called once, before any training.

        Raises:
            ArgumentError: naming the hyperparameter and what is allowed.
        """
