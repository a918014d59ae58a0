"""Optuna's samplers as searchers."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any, final

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler
from optuna.trial import TrialState, create_trial
from typing_extensions import override

from proxyhpo.errors import ArgumentError
from proxyhpo.searchers import Searcher
from proxyhpo.space import Choice, Unseen

if TYPE_CHECKING:
    from proxyhpo import Config, History, Space

__all__ = ["OptunaSearcher"]

_ALLOWED = (TPESampler, GPSampler, RandomSampler)
"""Samplers that only read trials. Others store state in Optuna's study, which would be lost."""

_OWN = {"CmaEsSampler": "cma-es", "QMCSampler": "qmc"}
"""Refused sampler → the name of the searcher with the same method."""


@final
class OptunaSearcher(Searcher):
    """Proposes configs with one of Optuna's samplers.

    The sampler sees every number as a coordinate in the unit cube, and every choice as the index of
    an option, so that scales and steps are those of the space.

    To be able to resume a study, proposals must depend on the history alone. This holds for
    ``TPESampler``, ``GPSampler`` and ``RandomSampler``. Other samplers store their state in
    Optuna's own study and are refused. Instead of ``CmaEsSampler`` and ``QMCSampler``, use
    :class:`~proxyhpo.searchers.CMAESSearcher` and :class:`~proxyhpo.searchers.QMCSearcher`.

    Args:
        sampler: a class of ``optuna.samplers``, or a function that returns a new sampler. It is
            called with ``seed=`` for each proposal.
        settings: further keyword arguments of the sampler.

    Raises:
        ArgumentError: if the sampler is an instance, cannot be created with these settings, or
            stores its state in Optuna's study.

    >>> OptunaSearcher(optuna.samplers.TPESampler, multivariate=True)
    OptunaSearcher(TPESampler, multivariate=True)
    """

    def __init__(self, sampler: Callable[..., BaseSampler] = TPESampler, **settings: Any) -> None:
        if isinstance(sampler, BaseSampler) or not callable(sampler):
            raise ArgumentError(
                "sampler must be a class of optuna.samplers, or a function of seed=, so that each "
                f"proposal has its own seed; got {sampler!r}"
            )
        self._make = sampler
        self.sampler = getattr(sampler, "__qualname__", type(sampler).__qualname__)
        self.settings = settings
        try:
            made = self._sampler(0)
        except TypeError as error:
            raise ArgumentError(f"sampler: {self.sampler} cannot be created: {error}") from error
        if not isinstance(made, _ALLOWED):
            allowed = ", ".join(kind.__name__ for kind in _ALLOWED)
            own = _OWN.get(type(made).__name__)
            raise ArgumentError(
                f"sampler must be one of {allowed}, got {type(made).__name__}: other samplers "
                "store state in Optuna's study, so a search could not be resumed"
                + (f". Use searcher={own!r} instead" if own else "")
            )

    def _sampler(self, seed: int) -> BaseSampler:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return self._make(seed=seed, **self.settings)

    @override
    def propose(
        self, space: Space, history: History, n: int, *, rng: np.random.Generator
    ) -> list[Config]:
        return list(islice(self._proposals(space, history, rng), n))

    def _proposals(
        self, space: Space, history: History, rng: np.random.Generator
    ) -> Iterator[Config]:
        unseen = Unseen(space, history, rng)
        study = _Study(space, self._sampler(int(rng.integers(2**31))))
        study.show(history)
        while (config := unseen.asked(study.ask)) is not None:
            unseen.take(config)
            yield config

    def __repr__(self) -> str:
        settings = "".join(f", {name}={value!r}" for name, value in self.settings.items())
        return f"OptunaSearcher({self.sampler}{settings})"


class _Study:
    """An Optuna study in memory, over the unit cube; lower is better."""

    def __init__(self, space: Space, sampler: BaseSampler) -> None:
        self.space = space
        self._axes: dict[str, BaseDistribution] = {
            name: CategoricalDistribution(tuple(range(space[name].size)))
            if isinstance(space[name], Choice)
            else FloatDistribution(0, 1)
            for name in space.names
        }
        verbosity = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.ERROR)  # else it logs that a study was created
        try:
            self._study = optuna.create_study(sampler=sampler)
        finally:
            optuna.logging.set_verbosity(verbosity)

    def show(self, history: History) -> None:
        """Adds every trial to the study; a failed one gets the worst loss so far."""
        observed = iter(history.observed())
        for trial in history.trials:
            loss = None if trial.state == "pending" else next(observed)[1]
            self._study.add_trial(self._frozen(self._params(trial.config), loss))

    def ask(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """A point of the unit cube; the trial stays pending in the study."""
        point = dict.fromkeys(self.space.names, 0.5)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trial = self._study.ask()
            for name in self.space.names:  # parents first
                if not self.space.is_active(name, self.space.decode(list(point.values()))):
                    continue
                axis = self._axes[name]
                if isinstance(axis, CategoricalDistribution):
                    index = trial.suggest_categorical(name, axis.choices)
                    point[name] = (int(index) + 0.5) / len(axis.choices)  # type: ignore[arg-type]  # one of range(n)
                else:
                    point[name] = trial.suggest_float(name, 0, 1)
        return np.array(list(point.values()))

    def _params(self, config: Config) -> dict[str, Any]:
        point = dict(zip(self.space.names, self.space.encode(config).tolist(), strict=True))
        return {
            name: int(point[name] * len(axis.choices))
            if isinstance(axis, CategoricalDistribution)
            else point[name]
            for name, axis in self._axes.items()
            if name in config
        }

    def _frozen(self, params: Mapping[str, Any], loss: float | None) -> optuna.trial.FrozenTrial:
        return create_trial(
            state=TrialState.RUNNING if loss is None else TrialState.COMPLETE,
            value=loss,
            params=dict(params),
            distributions={name: self._axes[name] for name in params},
        )
