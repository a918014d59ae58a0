"""CMA-ES, by the ``cmaes`` library (Nomura and Shibata, 2024)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice, takewhile
from typing import TYPE_CHECKING, Any, final

import numpy as np
from typing_extensions import override

from proxyhpo._records.history import History
from proxyhpo._records.records import Config
from proxyhpo._validation import check_number, check_whole, suggesting
from proxyhpo.errors import missing_library
from proxyhpo.searchers._interface import Searcher
from proxyhpo.space._unseen import Unseen

if TYPE_CHECKING:
    from proxyhpo.space import Space

__all__ = ["CMAESSearcher"]


@final
class CMAESSearcher(Searcher):
    """Covariance matrix adaptation in the unit cube (Hansen and Ostermeier, 2001).

    Configs are drawn from a normal distribution that moves and stretches towards the better half of
    each generation. It adapts to interactions of numeric hyperparameters, and needs many trials: a
    few dozen generations. The options of a choice are treated as ordered.

    Requires the extra ``cmaes``.

    Each proposal replays the evolution from the history, so a study can be resumed. A generation is
    a block of consecutive trials. The distribution is updated up to the first block in which a
    trial is still running. Workers beyond the size of a generation draw from an older distribution.

    Args:
        sigma: initial standard deviation, in units of the cube's side.
        population_size: trials in a generation; by default ``4 + floor(3 * log(d))`` for ``d``
            hyperparameters.

    Raises:
        ArgumentError: for a ``sigma`` that is not above 0, or a population smaller than 4.
        ImportError: if the ``cmaes`` library is not installed.
    """

    @suggesting
    def __init__(self, *, sigma: float = 0.3, population_size: int | None = None) -> None:
        _library()
        self.sigma = check_number("sigma", sigma, above=0)
        if population_size is not None:
            population_size = check_whole("population_size", population_size, 4)
        self.population_size = population_size

    @override
    def propose(
        self, space: Space, history: History, n: int, *, rng: np.random.Generator
    ) -> list[Config]:
        unseen = Unseen(space, history, rng)
        if not space.names:
            return list(islice(unseen.draws(), n))
        evolution = self._evolution(space, history, int(rng.integers(2**31)))
        return list(islice(_proposals(evolution, unseen), n))

    def _evolution(self, space: Space, history: History, seed: int) -> Any:
        """The evolution after all complete generations before the first incomplete one."""
        axes = len(space.names)
        evolution = _library().CMA(
            mean=np.full(axes, 0.5),
            sigma=self.sigma,
            bounds=np.tile([0.0, 1.0], (axes, 1)),
            seed=seed,
            population_size=self.population_size,
        )
        size = evolution.population_size
        ended = takewhile(lambda trial: trial.state != "pending", history.trials)
        n_generations = sum(1 for _ in ended) // size
        observed = iter(history.observed())
        for _ in range(n_generations):
            generation = islice(observed, size)
            evolution.tell([(space.encode(config), loss) for config, loss in generation])
        return evolution


def _proposals(evolution: Any, unseen: Unseen) -> Iterator[Config]:
    while (config := unseen.asked(evolution.ask)) is not None:
        yield unseen.take(config)


def _library() -> Any:
    try:
        import cmaes  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise missing_library("CMAESSearcher", "cmaes", "cmaes") from error
    return cmaes
