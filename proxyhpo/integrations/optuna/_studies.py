"""Converts Optuna's studies to known results, and results to Optuna's studies."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import optuna
from optuna.trial import TrialState, create_trial

from proxyhpo._report.wording import rung_words
from proxyhpo.errors import ArgumentError, ConfigError
from proxyhpo.integrations.optuna._distributions import distribution_of
from proxyhpo.space import Choice

if TYPE_CHECKING:
    from proxyhpo import ProxyHPO, Record, Report, Result, Space

__all__ = ["from_optuna", "to_optuna"]


def from_optuna(study: optuna.Study, hpo: ProxyHPO) -> int:
    """Adds the completed trials of an Optuna study as known results of the full network.

    They are not trained again and cost nothing; see :meth:`ProxyHPO.add() <proxyhpo.ProxyHPO.add>`.
    Trials with parameters outside the space of ``hpo`` are not added, nor are configs whose result
    is already known. Options that are objects, such as tuples, become their labels.

    Args:
        study: its objective must have trained the full network completely.
        hpo: the study to which the results are added.

    Returns:
        The number of results that were added, which is 0 if the same study is added again.

    Raises:
        ArgumentError: if the study has another direction or several objectives, no completed trial,
            or no completed trial in the space.
    """
    directions = [direction.name.lower() for direction in study.directions]
    if directions != [hpo.direction]:
        raise ArgumentError(
            f"study has the directions {directions}, but hpo has the direction {hpo.direction}"
        )
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    refused: list[ConfigError] = []
    n_before = len(hpo.result.known)
    for trial in trials:
        assert trial.value is not None, "it is complete"
        try:
            hpo.add(
                _labelled(trial.params, hpo.space),
                trial.value,
                source=f"Optuna trial {trial.number}",
            )
        except ConfigError as error:
            refused.append(error)
    if not trials:
        raise ArgumentError("study: it has no completed trial")
    if len(refused) == len(trials):
        raise ArgumentError(f"study: no completed trial lies in the space; the first: {refused[0]}")
    return len(hpo.result.known) - n_before


def _labelled(params: Mapping[str, Any], space: Space) -> dict[str, Any]:
    """The same parameters with labels in place of objects."""
    return {name: _label(value, space.get(name)) for name, value in params.items()}


def _label(value: Any, domain: object) -> Any:
    options = domain.options if isinstance(domain, Choice) else ()
    if not isinstance(options, Mapping) or (isinstance(value, str) and value in options):
        return value
    given = tuple(value) if isinstance(value, list) else value  # Optuna's storages make lists
    return next((label for label, option in options.items() if option == given), value)


def to_optuna(
    result: Result,
    *,
    storage: str | optuna.storages.BaseStorage | None = None,
    name: str = "proxyhpo",
) -> list[optuna.Study]:
    """Writes one Optuna study for each rung, for ``optuna.visualization`` and ``optuna-dashboard``.

    Each training becomes a trial. Its reports become intermediate values, its start and duration
    become the trial's times, and its user attributes are ``trial`` (the number of its trial in the
    search), ``density`` and ``seconds``. A stopped training has Optuna's state ``PRUNED``. The user
    attributes of a study are ``trains`` (what its rung trains) and ``cost in base trainings``.
    Options that are objects appear as their labels. The step of a report is its metric ``step`` if
    it has one; otherwise, steps are counted from 1.

    Args:
        result: of a search.
        storage: Optuna's URL or storage; by default in memory.
        name: prefix of the studies' names, which are ``"{name} rung 0"`` and so on.

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
    distributions = {name: distribution_of(result.space[name]) for name in active}
    trial = create_trial(
        state=_STATES[record.state],
        value=record.value,
        params={name: record.config[name] for name in distributions},
        distributions=distributions,
        intermediate_values=_steps(record.reports),
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


def _steps(reports: Sequence[Report]) -> dict[int, float]:
    """Step → value; a report without a step of its own gets the next one."""
    steps: dict[int, float] = {}
    for report in reports:
        given = report.metrics.get("step", -1.0)
        is_free = given.is_integer() and given >= 0 and int(given) not in steps
        steps[int(given) if is_free else max(steps, default=0) + 1] = report.value
    return steps
