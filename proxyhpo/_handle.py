"""What a study object offers besides its searches: opening, locking, ask and tell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import Event, RLock
from typing import Any

from torch import nn
from typing_extensions import Self

from proxyhpo._engine.limits import Limits
from proxyhpo._records.ending import Ending, running
from proxyhpo._records.known import KnownResult
from proxyhpo._records.records import Config, Record
from proxyhpo._report.result import Result
from proxyhpo._running import OpenStudy, run_study
from proxyhpo._session import Asked, Session, Told, not_asked
from proxyhpo._setup import Setup
from proxyhpo._store import Store
from proxyhpo._validation import check_number, check_whole
from proxyhpo.errors import ArgumentError, NotClimbedError, StoreError, TrainingFailedError
from proxyhpo.evaluators import Direction
from proxyhpo.space import Space

__all__ = ["StudyHandle"]


class StudyHandle:
    """A study that is run by one caller at a time, or asked for trainings.

    Callbacks and other threads may use it while it runs: ``result`` reads the running study, and
    ``enqueue`` and ``stop`` act on it. Running it a second time raises an error.

    Args:
        setup: of the study.
    """

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._memory: Store | None = None  # the store of a study without a path
        self._enqueued: list[Config] = []
        self._known: list[KnownResult] = []
        self._open_study: OpenStudy | None = None  # while it runs or is asked for trainings
        self._session: Session | None = None
        self._is_running = False
        self._lock = RLock()  # guards the attributes above
        self._stopping = Event()

    def __repr__(self) -> str:
        parts = self._setup.parts
        rungs = ", ".join(
            f"cost {rung.cost:.3g}" if rung.density is None else f"density {rung.density:.3g}"
            for rung in parts.ladder
        )
        store = "in memory" if self._setup.path is None else f"in {str(self._setup.path)!r}"
        names = ", ".join(parts.space.names)
        return f"<{type(self).__name__}: {parts.direction} over {names}; {rungs}; {store}>"

    @property
    def space(self) -> Space:
        """The hyperparameters and their conditions."""
        return self._setup.parts.space

    @property
    def direction(self) -> Direction:
        """Whether values are to ``"minimize"`` or to ``"maximize"``."""
        return self._setup.parts.direction

    def stop(self) -> None:
        """Ends a run after the current event, for use in a callback. The study can be resumed."""
        self._stopping.set()

    def enqueue(self, config: Mapping[str, Any]) -> None:
        """Tries a config before the searcher's next proposal, unless it has been tried already.

        If a callback calls it, the config is tried in the same run if trials are left.

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

    def add(self, config: Mapping[str, Any], value: float, *, source: str = "") -> None:
        """Adds a known result of the full network, for example of a baseline.

        The config is not trained and costs nothing. The searcher uses it, and
        :attr:`Result.known <proxyhpo.Result.known>` lists it. If the study has already
        tried the config, or has a result of it, that result is kept.

        Args:
            config: in terms of the full network.
            value: the result of a full training of the full network, in the study's direction.
            source: where it comes from, for the result.

        Raises:
            ArgumentError: for a value that is not a finite number.
            ConfigError: if the config lies outside the space.
        """
        valid = self._setup.problem.space.validate(config, argument="add")
        number = check_number("add: value", value)
        known = KnownResult(valid, number, self._setup.parts.loss(number), source)
        with self._lock:
            self._known.append(known)
            if self._open_study is not None:
                self._open_study.study.add(known)

    def ask(self, n_trials: int | None = None) -> Asked | None:
        """The next training to run, for callers with their own loop; :meth:`tell` its outcome.

        Args:
            n_trials: total number of trials that enter the first rung, after which the best are
                promoted. Without it there is no limit, and :meth:`climb` promotes the best.

        Returns:
            What to train. None if nothing is left, or if more outcomes must be told first.

        Raises:
            ArgumentError: for an invalid argument, or if the study is running.
        """
        limit = float("inf") if n_trials is None else check_whole("n_trials", n_trials, 1)
        with self._lock:
            self._check_idle("ask")
            if self._session is None:
                self._session = Session(self._open(self._setup))
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
        """Tells the study the outcome of a training that :meth:`ask` returned.

        Args:
            asked: from :meth:`ask`.
            value: what ``train`` could yield, a number or a mapping with a ``"value"``; or a list
                of everything it yielded, in order; or None if the training failed.
            seconds: duration of the training. By default the time since it was asked for.
            network: the trained network, which the result's ``best_network()`` can then return.
            stopped: whether it was ended early, see :meth:`Asked.should_stop`.

        Raises:
            ArgumentError: if this object is not waiting for that training, or for a value that no
                training can report.
            StoreError: if the outcome cannot be written. After Ctrl-C while it was written, call
                :meth:`close`: then :meth:`ask` hands out the training again, unless it was written.
        """
        if not isinstance(asked, Asked):
            raise ArgumentError(f"tell: the first argument must come from ask(), got {asked!r}")
        with self._lock:
            if self._session is None:
                raise not_asked(asked)
            return self._session.tell(asked, value, seconds, network, stopped=stopped)

    @property
    def result(self) -> Result:
        """The result so far, also while the study runs."""
        with self._lock:
            if self._open_study is not None:
                return self._open_study.result(running() if self._is_running else Ending())
            try:
                return self._open(self._setup).result()
            finally:
                self._close()

    def close(self) -> None:
        """Closes the study's store, which :meth:`ask` keeps open.

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
        """Allows one run at a time."""
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
                f"{what}: this study is running, in this thread (from a callback) or in another"
            )

    def _run(self, setup: Setup, limits: Limits | None = None) -> Result:
        """Runs until the limits are reached; without limits, with the existing trials only."""
        with self._lock:
            self._close()
            opened = self._open(setup)
        try:
            if limits is None:
                n_trials = len(opened.study.history.trials)
                if not n_trials:
                    raise NotClimbedError(
                        "climb: no trials yet; call hpo.run(n_trials) or hpo.ask() first"
                    )
                limits = setup.running.limits(n_trials, None)
            return run_study(opened, limits, self._stopping.is_set)
        except TrainingFailedError as error:
            # The message has the traceback that matters, of the training.
            raise error.with_traceback(None) from None
        finally:
            with self._lock:
                self._close()

    def _open(self, setup: Setup) -> OpenStudy:
        try:
            self._open_study = OpenStudy.of(setup, self._memory, self._enqueued, self._known)
        except StoreError as error:
            # The message says what is wrong with the file; the frames that read it do not help.
            raise error.with_traceback(None) from error.__cause__
        if setup.path is None:
            self._memory = self._open_study.store
        return self._open_study

    def _close(self) -> None:
        if self._session is not None:
            self._session.close()
        if self._open_study is not None:
            self._open_study.close()
        self._open_study = self._session = None
