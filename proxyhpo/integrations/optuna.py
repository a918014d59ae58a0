"""Optuna's samplers as searchers, its studies as known results, and results as its studies.

Requires the extra ``optuna``.
"""

from __future__ import annotations

import datetime as dt
import warnings
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any, final

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler
from optuna.trial import TrialState, create_trial
from typing_extensions import override

from proxyhpo._report.wording import rung_words
from proxyhpo.errors import ArgumentError, ConfigError
from proxyhpo.searchers import Searcher
from proxyhpo.space import Choice, Int, Unseen

if TYPE_CHECKING:
    from proxyhpo import Config, History, ProxyHPO, Record, Result, Space

__all__ = ["OptunaSearcher", "from_optuna", "to_optuna"]

_ALLOWED = (TPESampler, GPSampler, RandomSampler)
"""Samplers that only read trials. Others store state in the study, which would be lost."""

_OWN = {"CmaEsSampler": "cma-es", "QMCSampler": "qmc"}
"""Refused sampler → the name of the searcher that does the same."""


@final
class OptunaSearcher(Searcher):
    """Proposes configs with one of Optuna's samplers.

    The sampler sees every hyperparameter as its coordinate in the unit cube, and every choice as
    the index of an option, so that scales and steps are those of the space.

    A searcher is a function of the history, so that a study can be resumed. This holds for
    ``TPESampler``, ``GPSampler`` and ``RandomSampler``. Other samplers store their state in
    Optuna's own study and are refused. Instead of ``CmaEsSampler`` and ``QMCSampler`` use
    :class:`~proxyhpo.searchers.CMAESSearcher` and :class:`~proxyhpo.searchers.QMCSearcher`.

    Args:
        sampler: a class of ``optuna.samplers``, or a function, that is called with ``seed=`` for
            each proposal and returns a new sampler.
        settings: further keyword arguments of the sampler.

    Raises:
        ArgumentError: for a sampler that is an instance, that cannot be made with these settings,
            or that stores its state in Optuna's study.

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
            raise ArgumentError(f"sampler: {self.sampler} cannot be made: {error}") from error
        if not isinstance(made, _ALLOWED):
            allowed = ", ".join(kind.__name__ for kind in _ALLOWED)
            own = _OWN.get(type(made).__name__)
            raise ArgumentError(
                f"sampler must make one of {allowed}, got a {type(made).__name__}: others store "
                "state in Optuna's study, so a search could not be resumed"
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
        optuna.logging.set_verbosity(optuna.logging.ERROR)  # it says that a study was created
        try:
            self._study = optuna.create_study(sampler=sampler)
        finally:
            optuna.logging.set_verbosity(verbosity)

    def show(self, history: History) -> None:
        """Passes every trial to the sampler; a failed one has the worst loss so far."""
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


def from_optuna(study: optuna.Study, hpo: ProxyHPO) -> int:
    """Adds the completed trials of an Optuna study as known results of the full network.

    They are not trained again and cost nothing; see :meth:`ProxyHPO.add() <proxyhpo.ProxyHPO.add>`.
    Trials with parameters outside the space of ``hpo`` are left out.

    Args:
        study: its objective must have trained the full network completely.
        hpo: the study to which the results are added.

    Returns:
        The number of trials that lie in the space.

    Raises:
        ArgumentError: if the study has another direction or several objectives, or if no completed
            trial lies in the space.
    """
    directions = [direction.name.lower() for direction in study.directions]
    if directions != [hpo.direction]:
        raise ArgumentError(
            f"study: its directions are {directions}, but the direction here is {hpo.direction}"
        )
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    refused: list[ConfigError] = []
    for trial in trials:
        assert trial.value is not None, "it is complete"
        try:
            hpo.add(trial.params, trial.value, source=f"Optuna trial {trial.number}")
        except ConfigError as error:
            refused.append(error)
    if len(refused) == len(trials):
        why = f"the first one: {refused[0]}" if refused else "it has none"
        raise ArgumentError(f"study: no completed trial lies in the space; {why}")
    return len(trials) - len(refused)


def to_optuna(
    result: Result,
    *,
    storage: str | optuna.storages.BaseStorage | None = None,
    name: str = "proxyhpo",
) -> list[optuna.Study]:
    """Writes one Optuna study for each rung, for ``optuna.visualization`` and ``optuna-dashboard``.

    Each training becomes a trial with its reports as intermediate values, its start and seconds as
    its times, and ``trial`` (the number in the search), ``density`` and ``seconds`` as user
    attributes. A stopped training is ``PRUNED`` in Optuna's terms. The attributes of a study are
    what its rung ``trains`` and its ``cost in base trainings``.

    Args:
        result: of a search.
        storage: Optuna's URL or storage; by default in memory.
        name: of the studies, which are named ``"{name} rung 0"`` and so on.

    Returns:
        The studies, the cheapest rung first.

    Raises:
        optuna.exceptions.DuplicatedStudyError: if the storage has studies of these names.
    """
    studies = []
    for rung in range(len(result.ladder)):
        study = optuna.create_study(
            storage=storage,
            study_name=f"{name} rung {rung}",
            direction=optuna.study.StudyDirection[result.direction.upper()],
        )
        study.set_user_attr("trains", rung_words(result.history, result.ladder, rung))
        if rung in result.openings:
            spent = result.cost.rungs[sorted(result.openings).index(rung)].base_trainings
            study.set_user_attr("cost in base trainings", spent)
        for record in result.records:
            if record.rung == rung:
                study.add_trial(_finished(record, result))
        studies.append(study)
    return studies


_STATES = {
    "finished": TrialState.COMPLETE,
    "stopped": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}


def _finished(record: Record, result: Result) -> optuna.trial.FrozenTrial:
    active = [name for name in result.space.names if name in record.config]
    distributions = {name: _distribution(result.space[name]) for name in active}
    trial = create_trial(
        state=_STATES[record.state],
        value=record.value,
        params={name: record.config[name] for name in distributions},
        distributions=distributions,
        intermediate_values={step: report.value for step, report in enumerate(record.reports, 1)},
        user_attrs={
            "trial": record.trial,
            "density": result.measured[record.rung].density,
            "seconds": record.seconds,
            **({} if record.reason is None else {"reason": record.reason}),
        },
    )
    if record.started_at is not None:
        trial.datetime_start = dt.datetime.fromtimestamp(record.started_at)  # noqa: DTZ006 - as Optuna's
    assert trial.datetime_start is not None, "create_trial sets it"
    trial.datetime_complete = trial.datetime_start + dt.timedelta(seconds=record.seconds)
    return trial


def _distribution(given: Any) -> BaseDistribution:
    if isinstance(given, Choice):
        return CategoricalDistribution(given.values)
    if isinstance(given, Int):
        return IntDistribution(given.low, given.high, log=given.log, step=given.step or 1)
    return FloatDistribution(given.low, given.high, log=given.log, step=given.step)
