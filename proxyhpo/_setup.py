"""The checked and frozen arguments of a study, shared by everything that runs it."""

from __future__ import annotations

import math
import os
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from proxyhpo import _plugins as plugins
from proxyhpo._engine.identity import identity_of
from proxyhpo._engine.ladder import with_finalists
from proxyhpo._engine.limits import Limits
from proxyhpo._engine.parts import Parts
from proxyhpo._engine.stopping import Stoppers
from proxyhpo._problem import Problem
from proxyhpo._records.records import Config
from proxyhpo._report.fidelity import Fidelity
from proxyhpo._report.pilot import ladder_to_check
from proxyhpo._runs import Work
from proxyhpo._seeding import preserved_random_state, seed_sequence
from proxyhpo._store import Store, open_store
from proxyhpo._validation import check_number, check_seconds, check_whole
from proxyhpo.callbacks._interface import AnyCallback
from proxyhpo.errors import ArgumentError, StoreError, UnsupportedNetworkError
from proxyhpo.executors import Executor

__all__ = ["Running", "Setup"]


@dataclass(frozen=True)
class Running:
    """How a study runs. Nothing here affects its results.

    Args:
        executor: runs the trainings.
        callbacks: notified of every training.
        progress: whether to show progress.
        check_memory: whether to try the largest batch before the search.
        max_retries: how often a training is tried again after its worker died.
        ordered: whether batches of trainings are decided on together.
    """

    executor: Executor
    callbacks: tuple[AnyCallback, ...]
    progress: bool
    check_memory: bool
    max_retries: int
    ordered: bool

    def __post_init__(self) -> None:
        check_whole("max_retries", self.max_retries, 0)

    def limits(
        self,
        n_trials: float | None,
        timeout: float | None,
        base_trainings: float | None = None,
        worth: float | None = None,
    ) -> Limits:
        """The limits of a run.

        Raises:
            ArgumentError: names the argument; also if none of the first three is given.
        """
        if n_trials is None and timeout is None and base_trainings is None:
            raise ArgumentError("run: pass n_trials, base_trainings or timeout to limit the search")
        return Limits(
            n_trials=math.inf if n_trials is None else check_whole("n_trials", n_trials, 1),
            timeout=None if timeout is None else check_seconds("timeout", timeout),
            base_trainings=_positive("base_trainings", base_trainings),
            worth=_positive("worth", worth),
            max_retries=self.max_retries,
            ordered=self.ordered,
        )


@dataclass(frozen=True)
class Setup:
    """A study that can be run any number of times.

    Args:
        problem: what is tuned.
        parts: what the engine needs of it.
        stoppers: end trainings early.
        running: how it runs.
        path: of the store, absolute; None keeps the study in memory.
        version: the user's label, part of the study's identity.
        spent: seconds spent on building networks for this setup.
        finalists: of this run, if it was given another number of them.
        checked: what a check of the proxy found; None if there was none.
    """

    problem: Problem
    parts: Parts
    stoppers: Stoppers
    running: Running
    path: Path | None
    version: str | int | None
    spent: float = 0.0
    finalists: int | None = None
    checked: Fidelity | None = None

    @property
    def work(self) -> Work:
        """What all trainings share."""
        return Work(
            self.problem.networks,
            self.problem.evaluator,
            self.problem.space,
            steps=self.problem.steps,
            device=str(self.problem.device),
            rule=self.parts.transfer.update_rule(),
            best=self.parts.direction if self.parts.uses_best_report else None,
        )

    def full_network(self, config: Config) -> nn.Module:
        """The full network for a config whose choices are given by their labels."""
        config = self.problem.space.resolve(config)
        with preserved_random_state():
            seeds = seed_sequence("measuring", self.parts.seed)
            return self.problem.networks.network(config, density=1, seed=seeds)

    def step_seconds(self, density: float) -> float | None:
        """The seconds of a training step of a proxy of this density; None if there can be none."""
        config = self.problem.networks.config_to_measure(self.problem.space)
        try:
            with preserved_random_state():
                seeds = seed_sequence("measuring", self.parts.seed)
                proxy = self.problem.networks.measured(config, density=density, seed=seeds)
        except UnsupportedNetworkError:
            return None
        return proxy.step_seconds

    def with_finalists(self, finalists: int | None) -> Setup:
        """The same study with another number of trials that reach the full network.

        Args:
            finalists: that number; None keeps the current one.
        """
        if finalists is None:
            return self
        ladder = with_finalists(self.parts.ladder, finalists)
        parts = replace(self.parts, ladder=ladder, follows_trials=False, may_leave_proxies=False)
        return replace(self, parts=parts, finalists=finalists)

    def for_check(self, n: int, *, second_seed: bool) -> Setup:
        """The study that :meth:`~proxyhpo.ProxyHPO.check` runs, with its own store.

        All its random configs are trained in full on the first rung and on the full network.
        """
        kind = "check-2-seeds" if second_seed else "check"
        parts = replace(
            self.parts,
            ladder=ladder_to_check(self.parts.ladder, n, second_seed=second_seed),
            searcher=plugins.load("proxyhpo.searchers", "random")(),
            climbs_early=False,
            follows_trials=False,
            may_leave_proxies=False,
            repeats=0,
            repeats_without_proxies=0,
            controls=0,
        )
        path = None if self.path is None else Path(f"{os.fspath(self.path)}-{kind}")
        return replace(self, parts=parts, stoppers=Stoppers(), path=path, checked=None)

    def open_store(self) -> Store:
        """The study's store, opened for writing; a new one in memory if there is no path."""
        strategies = {
            "pruner": self.problem.pruner,
            "searcher": self.parts.searcher,
            "transfer": self.parts.transfer,
            "evaluator": self.problem.evaluator,
            **self.stoppers.given,
        }
        settings = {
            "steps": self.problem.steps,
            "pretrained": self.problem.is_pretrained,
            "version": self.version,
            # The default stopper may change between runs, with the number of controls.
            **({"stopper": "auto"} if self.stoppers.automatic else {}),
        }
        with preserved_random_state():
            identity = identity_of(self.parts, strategies, settings)
        store = open_store(self.path, identity)
        try:
            _warn_if_changed(store, self.problem.source)
        except BaseException:
            store.close()
            raise
        return store


def _positive(name: str, value: float | None) -> float | None:
    return None if value is None else check_number(name, value, above=0)


def _warn_if_changed(store: Store, source: str | None) -> None:
    """Warns if a study is resumed with another version of the training function."""
    before = [body.get("train") for kind, body in store.events() if kind == "source"]
    if not all(digest is None or isinstance(digest, str) for digest in before):
        raise StoreError("the store contains a source of train that is not text")
    if before and before[-1] != source:
        warnings.warn(
            "the source of train has changed since this study was last run. The study keeps its "
            "earlier results; to start a new one, use another store.",
            stacklevel=8,  # the caller of run, which is decorated
        )
    if not before or before[-1] != source:
        store.append("source", {"train": source})
