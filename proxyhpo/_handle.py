"""What a study object does besides its own searches: open once, run once, ask and tell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import Event, RLock
from typing import Any

from torch import nn
from typing_extensions import Self

from proxyhpo._engine.climb import Limits
from proxyhpo._records.records import Config, Record
from proxyhpo._report.result import Result
from proxyhpo._running import OpenStudy, run_study
from proxyhpo._session import Asked, Session, Told, not_asked
from proxyhpo._setup import Setup
from proxyhpo._store import Store
from proxyhpo._validation import check_whole
from proxyhpo.errors import ArgumentError, NotClimbedError

__all__ = ["StudyHandle"]


class StudyHandle:
    """A study that one caller runs at a time, or asks for trainings.

    Callbacks and other threads may call it while it runs: ``result`` reads the running study,
    ``enqueue`` and ``stop`` act on it, and whatever would run it a second time is refused.

    Args:
        setup: of the study.
    """

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._memory: Store | None = None  # the store of a study without a path
        self._enqueued: list[Config] = []
        self._open_study: OpenStudy | None = None  # while it runs, or trainings are asked for
        self._session: Session | None = None
        self._is_running = False
        self._lock = RLock()  # held while any of these changes
        self._stopping = Event()

    def stop(self) -> None:
        """Ends a run after the current event, as from a callback; the study can be resumed."""
        self._stopping.set()

    def enqueue(self, config: Mapping[str, Any]) -> None:
        """Has a config tried before the searcher is asked again, unless it has been tried already.

        A callback may call it: the config is tried in the same run if there are trials left.

        Args:
            config: in terms of the full network.

        Raises:
            ConfigError: if it lies outside the space.
        """
        valid = self._setup.problem.space.validate(config, argument="enqueue")
        with self._lock:
            self._enqueued.append(valid)
            if self._open_study is not None:
                self._open_study.study.enqueue(valid)

    def ask(self, n_trials: int | None = None) -> Asked | None:
        """The next training to do, for callers who own their loop; :meth:`tell` what came of it.

        Args:
            n_trials: how many trials enter the first rung in all, after which the best climb.
                Without it there is no limit, and :meth:`climb` trains the best. With a default
                ladder, the first call decides how many climb, as in :meth:`run`.

        Returns:
            What to train; None if nothing is left, or not until more has been told.

        Raises:
            ArgumentError: for a bad argument, or if the study is running.
        """
        limit = float("inf") if n_trials is None else check_whole("n_trials", n_trials, 1)
        with self._lock:
            self._check_idle("ask")
            if self._session is None:
                setup = self._setup.with_finalists(None, n_trials)
                self._session = Session(self._open(setup))
            return self._session.ask(limit)

    def tell(
        self,
        asked: Asked,
        value: Told,
        *,
        seconds: float | None = None,
        network: nn.Module | None = None,
        stopped: bool = False,
    ) -> Record:
        """Says what came of a training that was asked.

        Args:
            asked: from :meth:`ask`.
            value: what ``train`` could yield, a number or a mapping with a ``"value"``; or all
                that it yielded, in order; None if the training failed.
            seconds: that it took; by default since it was asked.
            network: as trained, so that the result's ``best_network()`` can give it back.
            stopped: whether it was ended early, see :meth:`Asked.should_stop`.

        Raises:
            ArgumentError: for what was not asked here, or has been told already, and for what no
                training can report.
        """
        if not isinstance(asked, Asked):
            raise ArgumentError(f"tell: give first what ask() returned, got {asked!r}")
        with self._lock:
            if self._session is None:
                raise not_asked(asked)
            return self._session.tell(asked, value, seconds, network, stopped=stopped)

    @property
    def result(self) -> Result:
        """What is known so far, also while the study runs."""
        with self._lock:
            if self._open_study is not None:
                return self._open_study.result()
            try:
                return self._open(self._setup).result()
            finally:
                self._close()

    def close(self) -> None:
        """Lets go of the store's file, which is held while trainings are being asked for.

        Raises:
            ArgumentError: if the study is running.
        """
        with self._lock:
            self._check_idle("close")
            self._close()

    def __enter__(self) -> Self:
        """The object itself; :meth:`close` is called at the end of the block."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Closes."""
        self.close()

    @contextmanager
    def _running(self, what: str) -> Iterator[None]:
        """Lets one run begin at a time."""
        with self._lock:
            self._check_idle(what)
            self._stopping.clear()
            self._is_running = True
        try:
            yield
        finally:
            self._is_running = False

    def _check_idle(self, what: str) -> None:
        if self._is_running:
            raise ArgumentError(
                f"{what}: this study is running, in this thread (this is a callback) or in another"
            )

    def _run(self, setup: Setup, limits: Limits | None = None) -> Result:
        """Runs as far as the limits allow; without limits, with the trials that there are."""
        with self._lock:
            self._close()
            opened = self._open(setup)
        try:
            if limits is None:
                n_trials = len(opened.study.history.trials)
                if not n_trials:
                    raise NotClimbedError("climb: there are no trials yet; run() or ask() first")
                limits = setup.running.limits(n_trials, None)
            return run_study(opened, limits, self._stopping.is_set)
        finally:
            with self._lock:
                self._close()

    def _open(self, setup: Setup) -> OpenStudy:
        self._open_study = OpenStudy.of(setup, self._memory, self._enqueued)
        if setup.path is None:
            self._memory = self._open_study.store
        return self._open_study

    def _close(self) -> None:
        if self._session is not None:
            self._session.close()
        if self._open_study is not None:
            self._open_study.close()
        self._open_study = self._session = None
