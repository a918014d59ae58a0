"""Runs searches through the engine, with trainings that are looked up in tables."""

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
    """A search strategy.

    Args:
        ladder: the rungs.
        transfer: how the learning rate depends on the width.
        swapped: whether the two seeds for searching are swapped.
        checkpoints: whether a trial continues its training from the rung below, so that only the
            most expensive training of a config is charged.
        pruner: the pruner of the proxies, if a table has those of several pruners.
        stopper: the stopper of trainings below the full network, if a table has their curves.
        share: fraction of the configs, the first ones, among which it searches.
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
        """A stand-in for a network, of which only the width matters."""

    def __call__(
        self, network: Any, config: dict[str, Any]
    ) -> dict[str, float] | Iterator[dict[str, float]]:
        """The value, and the seconds that replace the real ones; once, or after each epoch."""


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
        training: looks up the results of trainings.
        space: the space of the configs.
        direction: of the values.
        strategy: how to search.
        configs: the configs of the trials, in this order.
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
    # The step times of a stand-in mean nothing, and measuring them takes longer than all look-ups.
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
        found["no repeats"] = winner.config, charged(below, strategy)
        for budget in (0.25, 0.15):
            found[f"first {budget:.0%} of the time"] = within(below, budget)
        found["mean of both"] = mean_of_both(result).config, charged(result.records, strategy)
    elif len(strategy.ladder) == 2 and strategy.ladder[0].keep == 3:
        top = next(r for r in result.records if r.rung == 1 and r.trial == winner.trial)
        found["single best"] = winner.config, charged([*below, top], strategy)
    return found


def charged(records: Sequence[Record], strategy: Strategy) -> float:
    """Seconds of training in the table. The engine's time is not counted: the machines differ."""
    if not strategy.checkpoints:
        return sum(map(seconds, records))
    dearest: dict[int, float] = {}
    for record in records:
        dearest[record.trial] = max(seconds(record), dearest.get(record.trial, 0.0))
    return sum(dearest.values())


def seconds(record: Record) -> float:
    return record.metrics["seconds"]


def within(records: Sequence[Record], share: float) -> tuple[Config, float]:
    """The best of the first trials, which take this share of the seconds of the whole search."""
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
