"""Searches whose trainings are looked up in tables, with the real engine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol
from unittest.mock import patch

import numpy as np
from torch import Tensor, nn

from proxyhpo import ProxyHPO, Result, Rung, Space
from proxyhpo._networks.fans import parameter_count
from proxyhpo._records.records import Config, Record
from proxyhpo.stoppers import Stopper
from proxyhpo.transfers import Transfer

__all__ = ["FULL", "TOP", "Strategy", "charged", "decisions", "replay", "three", "two"]

TOP = Rung(1)


@dataclass(frozen=True)
class Strategy:
    """A way to search.

    Args:
        ladder: the rungs.
        transfer: how the learning rate follows the width.
        swapped: whether the two seeds for searching change places.
        checkpoints: whether a trial continues its training from the rung below, so that only the
            most
                expensive training of a config is charged.
        pruner: that made the proxies, where a table holds those of several.
        stopper: of trainings below the full network, where a table holds their curves.
        share: of the configs, the first ones, among which it searches.
    """

    ladder: Sequence[Rung]
    transfer: str | Transfer = "power-law"
    swapped: bool = False
    checkpoints: bool = False
    pruner: str = "l1-structured"
    stopper: Stopper | None = None
    share: float = 1.0


def two(density: float, keep: int = 3, **options: Any) -> Strategy:
    return Strategy([Rung(density, keep=keep), TOP], **options)


def three(first: float, keep: int, second: float, finalists: int, **options: Any) -> Strategy:
    return Strategy([Rung(first, keep=keep), Rung(second, keep=finalists), TOP], **options)


FULL = Strategy([Rung(1, keep=3), TOP], "identity")


class LookUp(Protocol):
    """A training function that looks up the results of trainings."""

    @property
    def inputs(self) -> Tensor:
        """A batch for the stand-ins."""

    def build(self, width: float) -> nn.Module:
        """A stand-in for a network; only its width counts."""

    def __call__(
        self, network: Any, config: dict[str, Any]
    ) -> dict[str, float] | Iterator[dict[str, float]]:
        """The value, and the seconds that override the real ones; once, or after each epoch."""


def replay(
    training: LookUp,
    space: Space | Mapping[str, object],
    direction: Literal["minimize", "maximize"],
    strategy: Strategy,
    configs: Sequence[Config],
    **options: Any,
) -> Result:
    """One search through the engine.

    Args:
        training: looks up what a training gives.
        space: that the configs are of.
        direction: of the values.
        strategy: how to search.
        configs: what rung 0 gets, in this order.
        options: further arguments of :class:`~proxyhpo.ProxyHPO`, which replace the strategy's.
    """
    arguments: dict[str, Any] = {
        "transfer": strategy.transfer,
        "ladder": strategy.ladder,
        "stopper": strategy.stopper,
        **options,
    }
    hpo = ProxyHPO(
        training.build,
        training,
        space,
        example_inputs=training.inputs,
        direction=direction,
        pruner="by-width",
        searcher="random",
        progress=False,
        **arguments,
    )
    searched = configs[: round(strategy.share * len(configs))]
    for config in searched:
        hpo.enqueue(config)
    # What a step of a stand-in takes tells nothing, and costs more than all that is looked up.
    with patch("proxyhpo._proxy.factory.step_seconds", _by_size):
        return hpo.run(len(searched))


def _by_size(network: nn.Module, *_: object, **__: object) -> float:
    return float(parameter_count(network))


def decisions(result: Result, strategy: Strategy) -> dict[str, tuple[Config, float]]:
    """The conclusions from the trainings of a search: (config, seconds) by name."""
    found = {"": (result.best_config, charged(result.records, strategy))}
    below = [record for record in result.records if record.rung == 0]
    winner = result.leaderboard(0)[0]
    if strategy is FULL:
        found["no re-look"] = winner.config, charged(below, strategy)
        for budget in (0.25, 0.15):
            found[f"first {budget:.0%} of the time"] = within(below, budget)
        found["mean of both"] = mean_of_both(result).config, charged(result.records, strategy)
    elif len(strategy.ladder) == 2 and strategy.ladder[0].keep == 3:
        top = next(r for r in result.records if r.rung == 1 and r.trial == winner.trial)
        found["single best"] = winner.config, charged([*below, top], strategy)
    return found


def charged(records: Sequence[Record], strategy: Strategy) -> float:
    """Seconds of training in the table; the engine's own time is real, and of another machine."""
    if not strategy.checkpoints:
        return sum(map(seconds, records))
    dearest: dict[int, float] = {}
    for record in records:
        dearest[record.trial] = max(seconds(record), dearest.get(record.trial, 0.0))
    return sum(dearest.values())


def seconds(record: Record) -> float:
    return record.metrics["seconds"]


def within(records: Sequence[Record], share: float) -> tuple[Config, float]:
    """The best of the first trials of a search whose seconds are this share of all of them."""
    so_far = np.cumsum([seconds(record) for record in records])
    last = max(1, int(np.sum(so_far <= share * so_far[-1])))
    return min(records[:last], key=loss).config, float(so_far[last - 1])


def mean_of_both(result: Result) -> Record:
    """The finalist that is best by the mean of its two trainings on the full network."""
    first = {record.trial: loss(record) for record in result.records if record.rung == 0}
    return min(result.leaderboard(1), key=lambda record: loss(record) + first[record.trial])


def loss(record: Record) -> float:
    assert record.loss is not None, "a table has no failures"
    return record.loss
