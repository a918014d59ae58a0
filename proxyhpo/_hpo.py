"""The facade: turns names into parts, and runs a study with them."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from copy import copy
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import torch
from torch import nn
from typing_extensions import Self

from proxyhpo import _plugins as plugins
from proxyhpo._engine.climb import Callback, Limits, climb, settle
from proxyhpo._engine.identity import identity_of, source_hash
from proxyhpo._engine.interruption import interruptible
from proxyhpo._engine.ladder import check_ladder, default_ladder, with_finalists
from proxyhpo._engine.parts import Parts
from proxyhpo._engine.progress import ProgressBar
from proxyhpo._engine.stopping import Stoppers, Watch
from proxyhpo._engine.study import Study
from proxyhpo._inputs import Inputs, check_inputs
from proxyhpo._proxy import NetworkFactory
from proxyhpo._proxy.memory import check_memory
from proxyhpo._records.records import Config, Record
from proxyhpo._records.rung import Rung
from proxyhpo._report.pilot import Check, check_of, ladder_to_check
from proxyhpo._report.result import Result
from proxyhpo._report.stored import result_of
from proxyhpo._runs import RunId, Work
from proxyhpo._seeding import preserved_random_state, seed_sequence
from proxyhpo._session import Asked, Told, outcome_of
from proxyhpo._setup import (
    callbacks_of,
    check_version,
    device_of,
    direction_of,
    evaluator_of,
    executor_of,
    stoppers_of,
)
from proxyhpo._store import Store, check_path, open_store
from proxyhpo._validation import check_seconds, check_whole
from proxyhpo.errors import (
    ArgumentError,
    NotClimbedError,
    StoreError,
    UnsupportedNetworkError,
)
from proxyhpo.evaluators import Direction, ProxyEvaluator
from proxyhpo.executors import Executor
from proxyhpo.pruners import Pruner
from proxyhpo.searchers import Searcher
from proxyhpo.space import Space
from proxyhpo.stoppers import Stopper
from proxyhpo.transfers import Transfer

__all__ = ["Asked", "ProxyHPO"]


class ProxyHPO:
    """Searches hyperparameters on a proxy of a network, and climbs to the network itself.

    A *proxy* is a smaller network that stands in for the user's own: a pruned copy of it.

    Args:
        build: makes the full network: a function of nothing, or of the config, a new network at
            every call; or an ``nn.Module``, which is copied (then say ``pretrained=``).
        train: ``train(network, config)`` trains and yields a value after each step, or returns
            one at the end; or ``train(network, config, report)`` calls ``report(value)`` after each
            step. It may take more by name, see :class:`~proxyhpo.evaluators.TrainingEvaluator`.
            Or a :class:`~proxyhpo.evaluators.ProxyEvaluator`.
        space: name → ``Float``, ``Int``, ``Choice``, or a constant.
        example_inputs: a typical batch: a tensor, a tuple, or a mapping for keyword inputs.
        direction: ``"minimize"`` or ``"maximize"`` the value; it has no default unless the
            evaluator knows it, since guessing wrong would be silent.
        pruner: name or instance; makes the proxies.
        searcher: name or instance; proposes configs.
        transfer: name or instance; how hyperparameters follow the width of the network.
        ladder: the rungs, cheapest first, the last one ``Rung(1)``. By default
            ``[Rung(1/8, keep=6), Rung(1/2, keep=2), Rung(1)]`` if every layer but the last has 64
            outputs or more (1/16 and 1/4 for a perceptron of 1024), ``[Rung(1/4, keep=3),
            Rung(1)]`` if not, and ``[Rung(1/2, keep=3), Rung(1)]`` for a pretrained network.
        density: short for a ladder of two rungs with this density below.
        finalists: short for the default ladder with this many trials on the full network.
        controls: how many trials, drawn from those that do not climb, are trained on the full
            network all the same, so that the comparison with the proxy does not rest on its best
            trials alone; a verdict against it takes ten. Each costs a training of the full network,
            and none of them is stopped early.
        stopper: name or instance; ends trainings below the full network early. ``"auto"`` is
            ``"median"`` where the executor tells of reports before a training ends and no
            ``controls`` are asked for; None has each trained to its end.
        finalist_stopper: likewise, on the full network, by default none. What it ends never becomes
            the best.
        executor: where trainings run; by default in this process.
        store: path of a file in which the study is kept and from which it is resumed; by default
            it is kept in memory.
        seed: of the study; everything random follows from it.
        pretrained: whether the network's weights are trained, so that a proxy inherits them
            unchanged. By default found out by building twice under different seeds.
        steps: how many reports a full training makes, where a rung has a budget below 1 and
            ``train`` takes no ``budget``: it is cut short after that fraction of them.
        device: where trainings will run, for measuring step times there, in this process; by
            default where the evaluator trains, or the CPU if it does not say. It must be one of
            this machine's: say ``"cpu"`` where only other machines have what trainings use.
        progress: whether to draw a progress bar.
        callbacks: each is called with every new :class:`~proxyhpo._records.records.Record`.
        check_memory: try the largest ``batch_size`` of the space once on the full network before
            the search, on ``device``: a forward and a backward beside buffers such as Adam's, all
            other hyperparameters at the centre of the space. What only ``train`` knows (its loss,
            data, precision) and a larger architecture than the centre's are not tried.
        max_retries: how often a training whose worker died is tried again.
        ordered: with an executor that runs several trainings at a time, decide on that many and
            wait for all of them, so that the study repeats from its seed, with as many workers,
            whichever ends first. The price is that workers wait for the slowest of each batch.
        version: a mark of your own that makes a study another study (for instance of the data).

    Raises:
        ArgumentError: for a bad argument, before anything is trained.
    """

    def __init__(
        self,
        build: Callable[..., nn.Module] | nn.Module,
        train: Callable[..., Any] | ProxyEvaluator,
        space: Mapping[str, Any],
        *,
        example_inputs: Inputs,
        direction: Direction | None = None,
        pruner: str | Pruner = "l1-structured",
        searcher: str | Searcher = "tpe",
        transfer: str | Transfer = "power-law",
        ladder: Sequence[Rung] | None = None,
        density: float | None = None,
        finalists: int | None = None,
        controls: int = 0,
        stopper: str | Stopper | None = "auto",
        finalist_stopper: str | Stopper | None = None,
        executor: Executor | None = None,
        store: str | Path | None = None,
        seed: int = 0,
        pretrained: bool | None = None,
        steps: int | None = None,
        device: str | torch.device | None = None,
        progress: bool = True,
        callbacks: Sequence[Callback] = (),
        check_memory: bool = False,
        max_retries: int = 0,
        ordered: bool = False,
        version: str | int | None = None,
    ) -> None:
        began = time.perf_counter()
        self._space = space if isinstance(space, Space) else Space(space)
        self._evaluator = evaluator_of(train)
        self._evaluator.check(self._space)
        self._train_source = source_hash(train)
        self._inputs = check_inputs(example_inputs)
        self._device = device_of(device, self._evaluator)
        self._pruner = plugins.resolve("proxyhpo.pruners", pruner, Pruner)  # type: ignore[type-abstract]  # an interface
        networks = NetworkFactory(
            build,
            self._pruner,
            self._inputs,
            pretrained=pretrained,
            device=self._device,
        )
        center = self._space.resolve(self._space.center())
        with preserved_random_state():
            is_pretrained = bool(networks.pretrained_parameters(center))
        self._pretrained = is_pretrained
        if ladder is None:
            if density == 1:
                raise ArgumentError(
                    "density must be below 1, a proxy's; a search on the full network alone is "
                    "ladder=[Rung(1)]"
                )
            if density is None and is_pretrained:
                density = 0.5
            widths = networks.layer_widths(center) if density is None else []
            is_perceptron = density is None and networks.is_perceptron(center)
            ladder = default_ladder(density, finalists, widths, is_perceptron=is_perceptron)
        elif density is not None or finalists is not None:
            raise ArgumentError("density= and finalists= are short for a ladder: give one of them")
        if steps is not None:
            check_whole("steps", steps, 1)
        self._parts = Parts(
            space=self._space,
            searcher=plugins.resolve("proxyhpo.searchers", searcher, Searcher),  # type: ignore[type-abstract]  # an interface
            transfer=plugins.resolve("proxyhpo.transfers", transfer, Transfer),  # type: ignore[type-abstract]  # an interface
            ladder=check_ladder(
                ladder, takes_budget=self._evaluator.takes_budget or steps is not None
            ),
            networks=networks,
            direction=direction_of(direction, self._evaluator),
            seed=check_whole("seed", seed, 0),
            controls=check_whole("controls", controls, 0),
            checkpoints=self._evaluator.takes_checkpoint_dir,
        )
        self._work = Work(
            networks,
            self._evaluator,
            self._space,
            steps=None if self._evaluator.takes_budget else steps,
            device=str(self._device),
            rule=self._parts.transfer.update_rule(),
        )
        self._executor = executor_of(executor)
        self._stoppers = stoppers_of(
            stopper, finalist_stopper, self._parts.ladder, self._executor, self._parts.controls
        )
        check_path(store)
        self._path = store
        self._progress = progress
        self._callbacks = callbacks_of(callbacks)
        self._check_memory = check_memory
        self._max_retries = check_whole("max_retries", max_retries, 0)
        self._ordered = ordered
        self._version = check_version(version)
        self._enqueued: list[Config] = []
        self._store: Store | None = None
        self._asking: Study | None = None
        self._asked: dict[RunId, float] = {}
        self._stopping = Event()
        self._spent = time.perf_counter() - began  # building networks, mostly; run charges it

    def run(
        self, n_trials: int, *, finalists: int | None = None, timeout: float | None = None
    ) -> Result:
        """Searches until ``n_trials`` have entered the first rung, and climbs with the best.

        Whatever has been done already (in this object, or in its store) is gone on with, not done
        again. Ctrl-C has the trainings in flight end, begins no more, and returns what there is;
        a second Ctrl-C does not wait for them. SIGTERM ends the process in good order, with status
        143. In both cases what had not ended is run again when the study is gone on with.

        Args:
            n_trials: in all, failures and earlier runs included.
            finalists: how many reach the full network, instead of what the ladder says.
            timeout: seconds for this run; enough is kept back for the climb. A training in this
                process is ended at its next report.

        Raises:
            TrainingFailedError: if the first five trainings all raise an exception.
            UnsupportedNetworkError: if no proxy can be made of the network.
            StoreError: if the store is in use, belongs to another study, or cannot be written.
        """
        limits = Limits(
            check_whole("n_trials", n_trials, 1),
            None if timeout is None else check_seconds("timeout", timeout),
            self._max_retries,
            self._ordered,
        )
        parts = self._parts
        if finalists is not None:
            parts = replace(parts, ladder=with_finalists(parts.ladder, finalists))
        return self._climb(parts, limits)

    def climb(self, *, finalists: int | None = None) -> Result:
        """Climbs with the best of the trials there are, without new ones.

        Raises:
            NotClimbedError: if there are none.
        """
        n_trials = len(self.result.history.trials)
        if not n_trials:
            raise NotClimbedError("climb: there are no trials yet; run() or ask() for some first")
        return self.run(n_trials, finalists=finalists)

    def check(
        self, n: int = 12, *, second_seed: bool = False, timeout: float | None = None
    ) -> Check:
        """Trains random configs on the first rung and on the full network, and compares.

        Worth its price before a long search, or where it is not known whether a proxy of this kind
        of network and training can be trusted: about ``n`` trainings of the full network. A second
        call goes on from the first one if there is a store (a file of its own, beside the study's).

        Args:
            n: how many configs, earlier calls and failures included. Fewer than 10 that end well
                cannot speak against a proxy.
            second_seed: train each config on the full network once more, to see how well it agrees
                with itself; no proxy can do better. About twice as dear.
            timeout: seconds for this call.

        Raises:
            ArgumentError: if the ladder is the full network alone.
            TrainingFailedError: if it ends, interrupted or out of time, before the first of these
                trainings begins, while a transfer still learns.
        """
        if len(self._parts.ladder) == 1:
            raise ArgumentError("check: the ladder is the full network alone, there is no proxy")
        n = check_whole("n", n, 1)
        ladder = ladder_to_check(self._parts.ladder, n, second_seed=second_seed)
        kind = "check-2-seeds" if second_seed else "check"
        searcher = plugins.load("proxyhpo.searchers", "random")()
        twin = copy(self)
        vars(twin).update(
            _parts=replace(self._parts, ladder=ladder, searcher=searcher, controls=0),
            _stoppers=Stoppers(),  # what is compared must have come to its end
            _path=None if self._path is None else f"{os.fspath(self._path)}-{kind}",
            _enqueued=[],
            _store=None,
            _asking=None,
            _asked={},
        )
        return check_of(twin.run(n, timeout=timeout), self._step_seconds)

    @property
    def ladder(self) -> Sequence[Rung]:
        """The rungs, cheapest first; what the default is depends on the network."""
        return self._parts.ladder

    def stop(self) -> None:
        """Ends a run after the current event, as from a callback; it can be gone on with."""
        self._stopping.set()

    def enqueue(self, config: Mapping[str, Any]) -> None:
        """Has a config tried before the searcher is asked, unless it has been tried already.

        Args:
            config: in terms of the full network.

        Raises:
            ConfigError: if it lies outside the space.
        """
        valid = self._space.validate(config, argument="enqueue")
        self._enqueued.append(valid)
        if self._asking is not None:
            self._asking.enqueue(valid)

    def ask(self, n_trials: int | None = None) -> Asked | None:
        """The next training to do, for callers who own their loop; :meth:`tell` what came of it.

        Args:
            n_trials: how many trials enter the first rung in all, after which the best climb.
                Without it there is no end to them, and :meth:`climb` trains the best.

        Returns:
            What to train; None if nothing is left, or not until more has been told.
        """
        if self._asking is None:
            self._asking = self._study(self._parts)
            self._watch = Watch(self._asking, self._stoppers)
        limit = float("inf") if n_trials is None else check_whole("n_trials", n_trials, 1)
        with preserved_random_state():
            job = self._asking.next_job(limit)
        if job is None:
            return None
        self._asked[job.id] = time.monotonic()
        return Asked(
            config=self._space.resolve(job.config),
            trained_config=self._space.resolve(job.trained_config),
            density=job.density,
            budget=job.budget,
            seed=job.training_seed,
            job=job,
            _networks=self._parts.networks,
            _watch=self._watch,
            _rule=self._parts.transfer.update_rule(),
        )

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
            seconds: that it took, for the ledger; by default since it was asked.
            network: as trained, so that the result's ``best_network()`` can give it back.
            stopped: whether it was ended early, see :meth:`Asked.should_stop`.

        Raises:
            ArgumentError: for what has not been asked here, or has been told already, and for what
                no training can report.
        """
        if not isinstance(asked, Asked):
            raise ArgumentError(f"tell: say first what ask() returned, got {asked!r}")
        if self._asking is None or asked.job.id not in self._asked:
            raise ArgumentError(
                f"tell: trial {asked.trial} is not being asked for: it has been told already, or "
                "this object has been closed, or never asked for it"
            )
        if seconds is None:
            seconds = time.monotonic() - self._asked[asked.job.id]
        outcome = outcome_of(value, seconds, stopped=stopped)
        outcome = replace(outcome, correction=asked.end_scaling())
        if network is not None and asked.job.keep_weights and outcome.reason is None:
            outcome = replace(outcome, weights=network.state_dict())
        del self._asked[asked.job.id]
        return settle(self._asking, asked.job, outcome, self._callbacks)

    @property
    def result(self) -> Result:
        """What is known so far."""
        if self._asking is not None:
            return self._result(self._asking)
        try:
            return self._result(self._study(self._parts))
        finally:
            self.close()

    def close(self) -> None:
        """Lets go of the store's file, which is held while trainings are being asked for."""
        self._asking = None
        self._asked.clear()
        if self._store is not None and self._path is not None:
            self._store.close()
            self._store = None

    def __enter__(self) -> Self:
        """The object itself; :meth:`close` is called at the end of the block."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Closes."""
        self.close()

    def _climb(self, parts: Parts, limits: Limits) -> Result:
        began = time.monotonic()
        self._asking = None
        self._asked.clear()
        self._stopping.clear()
        try:
            with (
                interruptible() as interruption,
                preserved_random_state(),
                ExitStack() as stack,
            ):
                study = self._study(parts)
                study.prepare(self._spent)
                if self._check_memory:
                    check_memory(parts.networks, self._space, self._inputs, self._device)
                callbacks = list(self._callbacks)
                if self._progress:
                    callbacks.insert(0, bar := ProgressBar(study, limits.n_trials))
                    stack.callback(bar.close)
                if limits.timeout is not None:  # which began when this run did
                    left = limits.timeout - (time.monotonic() - began)
                    limits = replace(limits, timeout=max(0.0, left))
                complete = climb(
                    study,
                    self._work,
                    self._executor,
                    limits,
                    stoppers=self._stoppers,
                    callbacks=callbacks,
                    stopping=self._stopping.is_set,
                    interruption=interruption,
                )
            return self._result(study, interrupted=not complete)
        except KeyboardInterrupt:
            # Replayed, since the last event may have been stored and not been applied.
            return self._result(self._study(parts), interrupted=True)
        finally:
            self.close()

    def _step_seconds(self, density: float) -> float | None:
        """Of a proxy of this density, or None if none can be made."""
        config = self._space.resolve(self._space.center())
        seeds = seed_sequence("measuring", self._parts.seed)
        try:
            with preserved_random_state():
                networks = self._parts.networks
                return networks.measured(config, density=density, seed=seeds).step_seconds
        except UnsupportedNetworkError:
            return None

    def _study(self, parts: Parts) -> Study:
        """The study as its store tells it; the store is opened if it is not open."""
        if self._store is None:
            strategies = {
                "pruner": self._pruner,
                "searcher": parts.searcher,
                "transfer": parts.transfer,
                "evaluator": self._evaluator,
                **self._stoppers.given,
            }
            settings = {
                "steps": self._work.steps,
                "pretrained": self._pretrained,
                "version": self._version,
                # Whom it stops may change, with the controls that are asked for.
                **({"stopper": "auto"} if self._stoppers.automatic else {}),
            }
            with preserved_random_state():
                identity = identity_of(parts, strategies, settings)
            self._store = open_store(self._path, identity)
            _warn_if_changed(self._store, self._train_source)
        return Study(parts, self._store, self._enqueued)

    def _result(self, study: Study, *, interrupted: bool = False) -> Result:
        assert self._store is not None, "a study has a store"
        return result_of(
            study.state,
            {
                "ladder": study.parts.ladder,
                "direction": study.parts.direction,
                "pretrained": self._pretrained,
            },
            weights=self._store.weights_reader(),
            build=self._full_network,
            interrupted=interrupted,
        )

    def _full_network(self, config: Config) -> nn.Module:
        with preserved_random_state():
            seeds = seed_sequence("measuring", self._parts.seed)
            return self._parts.networks.network(self._space.resolve(config), density=1, seed=seeds)


def _warn_if_changed(store: Store, source: str | None) -> None:
    """Warns where a study is gone on with by another version of the user's function."""
    before = [body.get("train") for kind, body in store.events() if kind == "source"]
    if not all(digest is None or isinstance(digest, str) for digest in before):
        raise StoreError("the store holds a source of train that is no text")
    if before and before[-1] != source:
        warnings.warn(
            "the source of train has changed since this study was last run; its earlier results "
            "stay. Say version= to make it another study.",
            stacklevel=5,
        )
    if not before or before[-1] != source:
        store.append("source", {"train": source})
