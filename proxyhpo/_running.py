"""A study whose store is open, and a run of it: signals, random state, progress, time limit."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace

from proxyhpo._engine.climb import climb
from proxyhpo._engine.ending import ending_of, interrupted
from proxyhpo._engine.interruption import Interruption, interruptible
from proxyhpo._engine.limits import Limits
from proxyhpo._engine.study import Study
from proxyhpo._isolation import isolated
from proxyhpo._progress import Progress
from proxyhpo._proxy.memory import check_memory
from proxyhpo._records.ending import Ending
from proxyhpo._records.known import KnownResult
from proxyhpo._records.records import Config
from proxyhpo._report.result import Result
from proxyhpo._report.stored import result_of
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

    def result(self, ending: Ending = Ending()) -> Result:  # noqa: B008 - frozen
        """What is known so far; a snapshot.

        Args:
            ending: how the last run ended.
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
            ending=ending,
            checked=self.setup.checked,
            is_stored=self.setup.path is not None,
        )


def run_study(opened: OpenStudy, limits: Limits, is_stopping: Callable[[], bool]) -> Result:
    """Runs a study until it is complete or reaches a limit, and closes it.

    Ctrl-C returns the result so far.

    Args:
        opened: the study.
        limits: of this run.
        is_stopping: called after each event; True ends the run.
    """
    with interruptible(_after_sigterm(opened.setup)) as interruption:
        try:
            try:
                ending = _run(opened, limits, is_stopping, interruption)
                interruption.finish()
            except KeyboardInterrupt:
                interruption.finish()
                # Replayed, because the last event may have been stored but not applied.
                opened = OpenStudy(opened.setup, opened.store)
                ending = _interrupted(opened, limits)
            return opened.result(ending)
        finally:
            interruption.finish()
            opened.close()


def _run(
    opened: OpenStudy,
    limits: Limits,
    is_stopping: Callable[[], bool],
    interruption: Interruption,
) -> Ending:
    """Runs a study, and returns how the run ended."""
    began = time.monotonic()
    setup, study = opened.setup, opened.study
    running, before = setup.running, len(study.history.records)
    with ExitStack() as stack:
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

        left = limits
        if limits.timeout is not None:  # counted from the start of this run
            seconds = limits.timeout - (time.monotonic() - began)
            left = replace(limits, timeout=max(0.0, seconds))
        complete = climb(
            study,
            setup.work,
            running.executor,
            left,
            stoppers=setup.stoppers,
            callbacks=callbacks,
            stopping=is_stopping,
            interruption=interruption,
        )
        opened.store.check()
    if not complete:
        why = ""
        if limits.timeout is not None and not (interruption.has_happened or is_stopping()):
            why = f"timeout={limits.timeout:g} was reached, or left too little for another training"
        return _interrupted(opened, limits, why)
    is_idle = len(study.history.records) == before
    with isolated():  # the searcher is asked how many configs are left
        ending = ending_of(
            study, limits, running.executor, finalists=setup.finalists, is_idle=is_idle
        )
    if is_idle and ending.text:
        logger.info(ending.text)
    return ending


def _interrupted(opened: OpenStudy, limits: Limits, why: str = "") -> Ending:
    study, setup, is_stored = opened.study, opened.setup, opened.setup.path is not None
    return interrupted(study, limits, finalists=setup.finalists, is_stored=is_stored, why=why)


def _after_sigterm(setup: Setup) -> str:
    """Whether the study can be resumed when its process has ended."""
    if setup.path is None:
        return "the study had no store, so it cannot be resumed"
    return f"run the script again to resume the study from {str(setup.path)!r}"
