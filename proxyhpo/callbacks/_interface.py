"""The interface of callbacks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from proxyhpo._records.records import Config, Record
    from proxyhpo._records.report import Report

__all__ = ["AnyCallback", "Callback", "Training"]


@dataclass(frozen=True)
class Training:
    """A training run, as callbacks see it.

    Args:
        trial: number of the trial, from 0.
        rung: index of the rung, 0 the cheapest.
        replicate: 0 for the first run of this trial at this rung.
        name: unique within the study, such as ``"trial-3-rung-1"``.
        density: of the network; 1 is the full network.
        budget: fraction of a full training, in (0, 1].
        config: in terms of the full network.
        trained_config: what the network is trained with, after the transfer.
    """

    trial: int
    rung: int
    replicate: int
    name: str
    density: float
    budget: float
    config: Config
    trained_config: Config


class Callback:
    """Watches a study; subclass it and override the methods that you need.

    For every training ``on_training_start`` is called once, then ``on_report`` for each report in
    order, and then either ``on_training_end`` or ``on_training_interrupted``. All calls come from
    the study's own process, whatever the executor.

    A callback cannot affect the study: it gets copies, global random states are restored after each
    call, and its time does not count as training time. Its exceptions are logged with a traceback,
    and the study continues. Use :meth:`ProxyHPO.stop() <proxyhpo.ProxyHPO.stop>` to end the study.
    """

    def on_training_start(self, training: Training) -> None:
        """A training was given to the executor, where it may wait for a free worker."""

    def on_report(self, training: Training, report: Report, step: int) -> None:
        """A training reported.

        Reports arrive while the training runs if the executor streams them; otherwise all of them
        arrive at its end.

        Args:
            training: that reported.
            report: the value and metrics.
            step: number of the report, from 1.
        """

    def on_training_end(self, training: Training, record: Record) -> None:
        """A training finished, was stopped early, or failed; its record has been stored."""

    def on_training_interrupted(self, training: Training, reason: str) -> None:
        """A training ended without a record; it starts again at once, or when the study resumes."""


AnyCallback = Callback | Callable[["Record"], object]
"""What ``ProxyHPO(callbacks=[...])`` accepts; a function is called with every new record."""
