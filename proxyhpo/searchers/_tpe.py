"""The tree-structured Parzen estimator, by hyperopt (Bergstra et al., NeurIPS 2011).

TPE models each hyperparameter separately: where the good trials lie, and where the others lie. From
several draws of the good ones it proposes the best by the ratio of the two densities.

hyperopt sees each number on its axis of the unit cube, so that scales, whole numbers and steps are
those of the space, and each choice as the index of an option. Hyperparameters that are inactive in
a trial are omitted from the data for hyperopt. Since each one is modelled separately, conditions
need no further treatment: decoding decides which are part of a proposal.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any, final

import numpy as np
import numpy.typing as npt
from hyperopt import JOB_STATE_DONE, STATUS_OK, Domain, hp, tpe, trials_from_docs
from typing_extensions import override

from proxyhpo._records.history import History
from proxyhpo._records.records import Config
from proxyhpo._validation import check_number, check_whole, suggesting
from proxyhpo.searchers._interface import Searcher
from proxyhpo.space._choice import Choice
from proxyhpo.space._unseen import Unseen

if TYPE_CHECKING:
    from proxyhpo.space import Space

__all__ = ["TPESearcher"]


@final
class TPESearcher(Searcher):
    """The tree-structured Parzen estimator (Bergstra et al., NeurIPS 2011), by hyperopt.

    It is fast, and suits large spaces with choices and conditions. It does not model how
    hyperparameters interact; :class:`~proxyhpo.searchers.BayesianSearcher` does.

    Args:
        n_initial: how many trials must have ended before the first model is used. Until then
            configs are drawn at random (hyperopt's ``n_startup_jobs``).
        gamma: of N trials, the ``gamma * sqrt(N)`` best are the good ones, at most 25.
        n_candidates: number of draws of which the best is proposed (hyperopt's
            ``n_EI_candidates``); fewer explore more.
        prior_weight: weight of the uniform density that is mixed into both, in trials.

    Raises:
        ArgumentError: for a count below 1, or a ``gamma`` or ``prior_weight`` not above 0.
    """

    @suggesting
    def __init__(
        self,
        *,
        n_initial: int = 10,
        gamma: float = 0.25,
        n_candidates: int = 24,
        prior_weight: float = 1.0,
    ) -> None:
        self.n_initial = check_whole("n_initial", n_initial, 1)
        self.gamma = check_number("gamma", gamma, above=0)
        self.n_candidates = check_whole("n_candidates", n_candidates, 1)
        self.prior_weight = check_number("prior_weight", prior_weight, above=0)
        self._idle: list[_Parzen] = []  # the last one that was used, if it is not in use

    @override
    def propose(
        self, space: Space, history: History, n: int, *, rng: np.random.Generator
    ) -> list[Config]:
        unseen = Unseen(space, history, rng)
        losses = [trial.loss for trial in history.trials if trial.state != "pending"]
        if len(losses) < self.n_initial or all(loss is None for loss in losses):
            return list(islice(unseen.draws(), n))
        parzen = self._parzen(space)
        parzen.observe(history)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = list(islice(self._proposals(parzen, unseen, rng), n))
        self._idle[:] = [parzen]
        return found

    def _parzen(self, space: Space) -> _Parzen:
        """One that no search in another thread uses, with the trials of an earlier proposal."""
        with suppress(IndexError):
            parzen = self._idle.pop()
            if parzen.space is space:
                return parzen
        return _Parzen(space)

    def _proposals(
        self, parzen: _Parzen, unseen: Unseen, rng: np.random.Generator
    ) -> Iterator[Config]:
        def ask() -> npt.NDArray[np.float64]:
            return parzen.ask(
                int(rng.integers(2**31)),
                gamma=self.gamma,
                n_EI_candidates=self.n_candidates,
                prior_weight=self.prior_weight,
            )

        while (config := unseen.asked(ask)) is not None:
            parzen.tell(unseen.take(config), None)
            yield config


@final
class _Parzen:
    """The space as a hyperopt domain, and a history as hyperopt trials.

    It is kept between proposals, so that the domain is built once and each trial is encoded once.
    """

    def __init__(self, space: Space) -> None:
        self.space = space
        self._axes = [name for name in space.names if space[name].size > 1]
        self._domain = Domain(None, {name: self._prior(name) for name in self._axes})
        self._configs: list[Config] = []
        self._documents: list[dict[str, Any]] = []

    def observe(self, history: History) -> None:
        """Replaces the trials by those of a history; those that have been encoded are kept."""
        observed = iter(history.observed())
        for number, trial in enumerate(history.trials):
            loss = None if trial.state == "pending" else next(observed)[1]
            if number < len(self._configs) and self._configs[number] is trial.config:
                self._documents[number]["result"]["loss"] = loss
            else:
                self._forget(number)
                self.tell(trial.config, loss)
        self._forget(len(history.trials))

    def _forget(self, first: int) -> None:
        """Drops the trials from this number on."""
        del self._configs[first:], self._documents[first:]

    def tell(self, config: Config, loss: float | None) -> None:
        """Adds a trial. Without a loss it is pending, and counts as worse than any other."""
        number = len(self._documents)
        values = {name: [] if value is None else [value] for name, value in self._values(config)}
        indices = {name: [number] * len(value) for name, value in values.items()}
        self._configs.append(config)
        self._documents.append(
            {
                "tid": number,
                "state": JOB_STATE_DONE,
                "result": {"loss": loss, "status": STATUS_OK},
                "misc": {"tid": number, "idxs": indices, "vals": values},
            }
        )

    def ask(self, seed: int, **settings: float) -> npt.NDArray[np.float64]:
        """A point of the unit cube."""
        trials = trials_from_docs(self._documents, validate=False)
        [document] = tpe.suggest(
            [len(self._documents)],
            self._domain,
            trials,
            seed,
            n_startup_jobs=0,
            verbose=False,
            **settings,
        )
        values = document["misc"]["vals"]
        return np.array([self._place(name, values.get(name)) for name in self.space.names])

    def _prior(self, name: str) -> Any:
        if isinstance(self.space[name], Choice):
            return hp.randint(name, self.space[name].size)
        return hp.uniform(name, 0, 1)

    def _values(self, config: Config) -> Iterator[tuple[str, float | None]]:
        """Name → its value for hyperopt: an index, a coordinate, or None if inactive."""
        point = dict(zip(self.space.names, self.space.encode(config).tolist(), strict=True))
        for name in self._axes:
            hyperparameter = self.space[name]
            if name not in config:
                yield name, None
            elif isinstance(hyperparameter, Choice):
                yield name, int(point[name] * hyperparameter.size)
            else:
                yield name, point[name]

    def _place(self, name: str, values: list[float] | None) -> float:
        """The position of hyperopt's value in [0, 1]; the centre if there is nothing to choose."""
        if values is None:
            return 0.5
        [value] = values
        hyperparameter = self.space[name]
        if isinstance(hyperparameter, Choice):
            return (int(value) + 0.5) / hyperparameter.size
        return float(value)
