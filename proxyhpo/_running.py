"""A study whose store is open, and a run of it: signals, random state, progress, time limit."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace

from proxyhpo._engine.climb import climb
from proxyhpo._engine.interruption import interruptible
from proxyhpo._engine.limits import Limits, Remaining
from proxyhpo._engine.study import Study
from proxyhpo._isolation import isolated
from proxyhpo._progress import Progress
from proxyhpo._proxy.memory import check_memory
from proxyhpo._records.known import KnownResult
from proxyhpo._records.records import Config
from proxyhpo._report.result import Result
from proxyhpo._report.stored import result_of
from proxyhpo._report.wording import counted
from proxyhpo._setup import Setup
from proxyhpo._store import Store
from proxyhpo.space import Space

__all__ = ["OpenStudy", "run_study"]

logger = logging.getLogger("proxyhpo")


class OpenStudy:
    """A study loaded from its store, ready to run.

    Args:
        setup: of the study.
        store: of the study, open.
        enqueued: configs to try before the searcher is asked.
        known: results of the full network that need no training.
    """

    def __init__(
        self,
        setup: Setup,
        store: Store,
        enqueued: Sequence[Config] = (),
        known: Sequence[KnownResult] = (),
    ) -> None:
        self.setup = setup
        self.store = store
        self.study = Study(setup.parts, store, enqueued, known)

    @classmethod
    def of(
        cls,
        setup: Setup,
        store: Store | None = None,
        enqueued: Sequence[Config] = (),
        known: Sequence[KnownResult] = (),
    ) -> OpenStudy:
        """Opens the study's store, unless an open one is given."""
        store = setup.open_store() if store is None else store
        try:
            return cls(setup, store, enqueued, known)
        except BaseException:
            store.close()
            raise

    def close(self) -> None:
        """Closes the store."""
        self.store.close()

    def result(self, *, interrupted: bool = False, ended: str = "") -> Result:
        """What is known so far; a snapshot.

        Args:
            interrupted: whether a run ended before it was complete.
            ended: why a run did not add all it was asked for, and what adds more.
        """
        parts = self.setup.parts
        return result_of(
            self.study.state,
            {
                # Without the objects of its choices, which may not be picklable.
                "space": Space.from_json(parts.space.to_json()),
                "ladder": parts.ladder,
                "direction": parts.direction,
                "pretrained": self.setup.problem.is_pretrained,
            },
            weights=self.store.weights_reader(),
            build=self.setup.full_network,
            interrupted=interrupted,
            ended=ended,
            is_stored=self.setup.path is not None,
        )


def run_study(opened: OpenStudy, limits: Limits, is_stopping: Callable[[], bool]) -> Result:
    """Runs a study until it is complete or reaches a limit. Ctrl-C returns the result so far.

    Args:
        opened: the study.
        limits: of this run.
        is_stopping: called after each event; True ends the run.
    """
    began = time.monotonic()
    setup, study = opened.setup, opened.study
    running, before = setup.running, len(study.history.records)
    resuming = _resuming(setup, limits)
    try:
        with interruptible(_after_sigterm(setup)) as interruption, ExitStack() as stack:
            with isolated():
                study.prepare(setup.spent)
                if running.check_memory:
                    problem = setup.problem
                    check_memory(problem.networks, problem.space, problem.inputs, problem.device)
            callbacks = list(running.callbacks)
            if running.progress:
                progress = Progress(study, opened.result, limits, running.executor.capacity)
                callbacks.insert(0, progress)

                @stack.push
                def _(kind: type[BaseException] | None, *_: object) -> None:
                    progress.close(interrupted=interruption.has_happened or kind is not None)

            if limits.timeout is not None:  # counted from the start of this run
                left = limits.timeout - (time.monotonic() - began)
                limits = replace(limits, timeout=max(0.0, left))
            complete = climb(
                study,
                setup.work,
                running.executor,
                limits,
                stoppers=setup.stoppers,
                callbacks=callbacks,
                stopping=is_stopping,
                interruption=interruption,
            )
            opened.store.check()
        is_idle = len(study.history.records) == before
        if complete:
            ended = _why_ended(opened, limits, is_idle=is_idle)
        else:
            ended = _spent(study, limits) or resuming
        return opened.result(interrupted=not complete, ended=ended)
    except KeyboardInterrupt:
        # Replayed, because the last event may have been stored but not applied.
        return OpenStudy(setup, opened.store).result(interrupted=True, ended=resuming)


def _why_ended(opened: OpenStudy, limits: Limits, *, is_idle: bool) -> str:
    """Why a complete run did not add all it was asked for, and what adds more; empty if it did.

    Args:
        opened: the study, after the run.
        limits: of the run.
        is_idle: whether nothing was trained.
    """
    study, setup = opened.study, opened.setup
    n_trials, worth = len(study.history.trials), limits.worth
    trials = counted(n_trials, "trial")
    is_short = n_trials < limits.n_trials
    if is_short and worth is not None and study.state.is_closed("worth", worth):
        return (
            f"the search ended after {trials}: a further base training was expected to "
            f"improve the value by less than worth={worth:g}; to continue, pass a smaller worth or "
            "none"
        )
    if is_short and study.is_exhausted:
        return f"the search ended after {trials}: the searcher has no further config to propose"
    if study.has_finalists_left:
        who = "finalists and controls" if study.parts.controls else "finalists"
        return (
            f"base_trainings was spent before all {who} were trained on the full network; "
            f"{_call(setup, Limits(n_trials))} trains the others"
        )
    if n_repeats := study.n_repeats_left:
        budget = Remaining(study, replace(limits, timeout=None), setup.running.executor)
        limit = "timeout" if budget.affords(n_repeats) else "base_trainings"
        return (
            f"the best two configs were not trained with more seeds, because too little of {limit} "
            f"was left; {_call(setup, Limits(n_trials))} trains them"
        )
    if not is_idle:
        return ""
    ended = (_spent(study, limits) if is_short else "") or (
        f"nothing is left to train: the study already has {trials}; to add more, pass a larger "
        "n_trials or budget"
    )
    logger.info(ended)
    return ended


def _spent(study: Study, limits: Limits) -> str:
    """Whether only the budget of the study prevents more trainings; empty if it does not."""
    budget = limits.base_trainings
    if budget is None or not study.state.is_closed("base_trainings", budget):
        return ""
    if study.state.unfinished or study.has_finalists_left:  # the same call makes them, if it can
        return ""
    return (
        f"base_trainings={budget:g} is spent, or too little of it is left for another trial; to "
        "add trials, pass a larger base_trainings"
    )


def _call(setup: Setup, limits: Limits) -> str:
    """The call of a run with these limits, and with as many finalists."""
    given = [f"{limits.n_trials:.0f}"] if limits.n_trials < math.inf else []
    given += [] if setup.finalists is None else [f"finalists={setup.finalists}"]
    for name in ("base_trainings", "timeout", "worth"):
        value = getattr(limits, name)
        given += [] if value is None else [f"{name}={value:g}"]
    return f"hpo.run({', '.join(given)})"


def _resuming(setup: Setup, limits: Limits) -> str:
    """How to resume a study whose run was interrupted or cut by a budget."""
    again = "again resumes" if setup.path is None else "again, or the same script, resumes"
    text = f"{_call(setup, limits)} {again} the study"
    return text if limits.base_trainings is None else f"{text} (raise base_trainings if spent)"


def _after_sigterm(setup: Setup) -> str:
    """Whether the study can be resumed when its process has ended."""
    if setup.path is None:
        return "the study had no store, so it cannot be resumed"
    return f"run the script again to resume the study from {str(setup.path)!r}"
