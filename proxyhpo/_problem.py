"""What is tuned: a network, its training, and the space of hyperparameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from proxyhpo import _plugins as plugins
from proxyhpo._arguments import (
    device_of,
    direction_of,
    evaluator_of,
)
from proxyhpo._engine.identity import source_hash
from proxyhpo._engine.ladder import check_ladder, default_ladder
from proxyhpo._engine.parts import Parts
from proxyhpo._inputs import Inputs, check_inputs
from proxyhpo._proxy import NetworkFactory
from proxyhpo._records.rung import Rung
from proxyhpo._seeding import preserved_random_state
from proxyhpo._validation import check_whole
from proxyhpo.errors import ArgumentError
from proxyhpo.evaluators import Direction, ProxyEvaluator
from proxyhpo.evaluators._monitors import check_monitor
from proxyhpo.pruners import Pruner
from proxyhpo.searchers import Searcher
from proxyhpo.space import Space
from proxyhpo.transfers import Transfer

__all__ = ["Problem"]


@dataclass(frozen=True)
class Problem:
    """What is tuned: a network, its training, and the space of hyperparameters.

    Args:
        space: of the hyperparameters.
        evaluator: trains a network.
        inputs: a typical batch.
        device: on which step times are measured.
        pruner: makes the proxies.
        networks: makes and measures networks.
        direction: of the values.
        steps: how many reports a full training makes; None if the evaluator takes a budget.
        is_pretrained: whether the network's weights are trained.
        source: a digest of the source of the training function, if available.
    """

    space: Space
    evaluator: ProxyEvaluator
    inputs: Inputs
    device: torch.device
    pruner: Pruner
    networks: NetworkFactory
    direction: Direction
    steps: int | None
    is_pretrained: bool
    source: str | None

    @classmethod
    def of(
        cls,
        build: Callable[..., nn.Module] | nn.Module,
        train: Callable[..., Any] | ProxyEvaluator,
        space: Any,
        *,
        inputs: Inputs,
        pruner: str | Pruner,
        direction: Direction | None,
        device: str | torch.device | None,
        steps: int | None,
        pretrained: bool | None,
    ) -> Problem:
        """Builds it from the arguments of :class:`~proxyhpo.ProxyHPO` with these names."""
        space = space if isinstance(space, Space) else Space(space)
        evaluator = evaluator_of(train)
        evaluator.check(space)
        direction = direction_of(direction, evaluator)
        if isinstance(monitor := getattr(evaluator, "monitor", None), str):
            check_monitor(monitor, direction)
        inputs = check_inputs(inputs)
        where = device_of(device, evaluator)
        made = plugins.resolve("proxyhpo.pruners", pruner, Pruner)  # type: ignore[type-abstract]  # an interface
        networks = NetworkFactory(build, made, inputs, pretrained=pretrained, device=where)
        with preserved_random_state():
            inherited = networks.pretrained_parameters(networks.config_to_measure(space))
        if steps is not None:
            steps = check_whole("steps", steps, 1)
        return cls(
            space=space,
            evaluator=evaluator,
            inputs=inputs,
            device=where,
            pruner=made,
            networks=networks,
            direction=direction,
            steps=None if evaluator.takes_budget else steps,
            is_pretrained=bool(inherited),
            source=source_hash(train),
        )

    def ladder(
        self, given: Sequence[Rung] | None, density: float | None, finalists: int | None
    ) -> tuple[Rung, ...]:
        """The given ladder, or the default for this network."""
        if given is not None and (density is not None or finalists is not None):
            other = "density" if density is not None else "finalists"
            raise ArgumentError(
                f"got both ladder= and {other}=; give either ladder=, or density= and finalists=, "
                "which are short for a ladder"
            )
        if density == 1:
            raise ArgumentError(
                f"density must be below 1, got {density!r}; for a search on the full network only, "
                "use proxies=False instead"
            )
        if given is None:
            if density is None:
                config = self.networks.config_to_measure(self.space)
                density = self.networks.default_density(config)
            given = default_ladder(density, finalists)
        takes_budget = self.evaluator.takes_budget or self.steps is not None
        return check_ladder(given, takes_budget=takes_budget)

    def parts(
        self,
        ladder: tuple[Rung, ...],
        searcher: str | Searcher,
        transfer: str | Transfer,
        seed: int,
        controls: int,
    ) -> Parts:
        """What the engine needs to know about a study of this problem."""
        if transfer == "auto":
            transfer = "power-law" if self.is_pretrained else "layerwise"
        return Parts(
            space=self.space,
            searcher=plugins.resolve("proxyhpo.searchers", searcher, Searcher),  # type: ignore[type-abstract]  # an interface
            transfer=plugins.resolve("proxyhpo.transfers", transfer, Transfer),  # type: ignore[type-abstract]  # an interface
            ladder=ladder,
            networks=self.networks,
            direction=self.direction,
            seed=check_whole("seed", seed, 0),
            controls=check_whole("controls", controls, 0),
            checkpoints=self.evaluator.takes_checkpoint_dir,
            uses_best_report=self.evaluator.use_report == "best",
        )
