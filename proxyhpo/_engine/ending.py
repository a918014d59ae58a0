"""Finds out how a run ended: why it did not make all that was asked for, and how to go on."""

from __future__ import annotations

import math
from dataclasses import replace

from proxyhpo._engine.limits import Limits, Remaining
from proxyhpo._engine.study import Study
from proxyhpo._records.ending import EXHAUSTED, Ending
from proxyhpo.errors import counted
from proxyhpo.executors import Executor

__all__ = ["ending_of", "interrupted"]


def ending_of(
    study: Study, limits: Limits, executor: Executor, *, finalists: int | None, is_idle: bool
) -> Ending:
    """How a complete run ended.

    Args:
        study: after the run.
        limits: of the run.
        executor: of the run.
        finalists: of the run, if it was given another number of them.
        is_idle: whether nothing was trained.
    """
    is_short, n_further = len(study.history.trials) < limits.n_trials, study.n_further
    found = _left_out(study, limits, executor, finalists)
    if found is None and is_short:
        found = _short_of_trials(study, limits.worth)
    if found is None and is_idle:
        found = (_spent(study, limits) if is_short else None) or _nothing_left(study, n_further)
    return replace(found or Ending(), n_further=n_further)


def _short_of_trials(study: Study, worth: float | None) -> Ending | None:
    """The ending if something else than a limit left out trials that were asked for."""
    after = f"the search ended after {counted(len(study.history.trials), 'trial')}"
    if worth is not None and study.state.is_closed("worth", worth):
        why = (
            f"{after}: a further base training was expected to improve the value by less than "
            f"worth={worth:g}"
        )
        return Ending(why=why, how="to continue, pass a smaller worth or none")
    return Ending(why=f"{after}: {EXHAUSTED}") if study.is_exhausted else None


def _left_out(
    study: Study, limits: Limits, executor: Executor, finalists: int | None
) -> Ending | None:
    """The ending if a limit left out trainings of the full network."""
    call = _call(Limits(len(study.history.trials)), finalists)
    if study.has_finalists_left:
        who = "finalists and controls" if study.parts.controls else "finalists"
        why = f"base_trainings was spent before all {who} were trained on the full network"
        return Ending("cut", why, f"{call} trains the others")
    if n_repeats := study.n_repeats_left:
        budget = Remaining(study, replace(limits, timeout=None), executor)
        limit = "timeout" if budget.affords(n_repeats) else "base_trainings"
        why = (
            f"the best two configs were not trained with more seeds, because too little of {limit} "
            "was left"
        )
        return Ending("cut", why, f"{call} trains them")
    return None


def _nothing_left(study: Study, n_further: float) -> Ending:
    """The ending if all that was asked for had been made before."""
    trials = counted(len(study.history.trials), "trial")
    how = "to add more, pass a larger n_trials or budget" if n_further else EXHAUSTED
    return Ending(why=f"nothing is left to train: the study already has {trials}", how=how)


def interrupted(
    study: Study, limits: Limits, *, finalists: int | None, is_stored: bool, why: str = ""
) -> Ending:
    """How a run ended that was interrupted or cut by a limit, and how it is resumed."""
    if len(study.history.trials) < limits.n_trials and (spent := _spent(study, limits)):
        return replace(spent, state="interrupted")
    again = "again, or the same script, resumes" if is_stored else "again resumes"
    how = f"{_call(limits, finalists)} {again} the study"
    if limits.base_trainings is not None:
        how += " (raise base_trainings if spent)"
    return Ending("interrupted", why, how)


def _call(limits: Limits, finalists: int | None) -> str:
    """The call of a run with these limits, and with as many finalists."""
    given = [f"{limits.n_trials:.0f}"] if limits.n_trials < math.inf else []
    given += [] if finalists is None else [f"finalists={finalists}"]
    for name in ("base_trainings", "timeout", "worth"):
        value = getattr(limits, name)
        given += [] if value is None else [f"{name}={value:g}"]
    return f"hpo.run({', '.join(given)})"


def _spent(study: Study, limits: Limits) -> Ending | None:
    """The ending if only the budget of the study prevents more trainings."""
    budget = limits.base_trainings
    if budget is None or not study.state.is_closed("base_trainings", budget):
        return None
    if study.state.unfinished or study.has_finalists_left:  # the same call makes them, if it can
        return None
    why = f"base_trainings={budget:g} is spent, or too little of it is left for another trial"
    return Ending(why=why, how="to add trials, pass a larger base_trainings")
