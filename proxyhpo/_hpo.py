"""The facade: searches on a proxy, promotes the best trials to the full network, and reports."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, final

import torch
from torch import nn

from proxyhpo._arguments import ELSEWHERE, callbacks_of, check_version, executor_of, stoppers_of
from proxyhpo._climbing import Climbing
from proxyhpo._handle import StudyHandle
from proxyhpo._inputs import Inputs
from proxyhpo._problem import Problem
from proxyhpo._records.rung import Rung
from proxyhpo._report.pilot import Check, check_of
from proxyhpo._report.result import Result
from proxyhpo._running import OpenStudy, run_study
from proxyhpo._setup import Running, Setup
from proxyhpo._store import check_path
from proxyhpo._validation import check_whole, suggesting, suggesting_or
from proxyhpo.callbacks._interface import AnyCallback
from proxyhpo.errors import ArgumentError
from proxyhpo.evaluators import Direction, ProxyEvaluator
from proxyhpo.executors import Executor
from proxyhpo.pruners import Pruner
from proxyhpo.searchers import Searcher
from proxyhpo.stoppers import Stopper
from proxyhpo.transfers import Transfer

__all__ = ["ProxyHPO"]


@final
class ProxyHPO(StudyHandle):
    """Searches hyperparameters on a proxy and trains the best few configs on the full network.

    A *proxy* is a smaller network that stands in for the user's network: a pruned copy of it.

    Args:
        build: makes the full network: a function of no arguments or of the config that returns a
            new network at every call. Or an ``nn.Module``, which is copied (then give
            ``pretrained=``).
        train: ``train(network, config)`` trains and yields a value after each step, or returns one
            at the end; ``train(network, config, report)`` calls ``report(value)`` after each step.
            :class:`~proxyhpo.evaluators.TrainingEvaluator` lists the other arguments it may take.
            Or a :class:`~proxyhpo.evaluators.ProxyEvaluator`.
        space: name → ``Float``, ``Int``, ``Choice``, or a constant.
        example_inputs: a typical batch: a tensor, a tuple, or a mapping for keyword inputs.
        direction: ``"minimize"`` or ``"maximize"`` the value. Required unless the evaluator
            defines it.
        pruner: name or instance; makes the proxies.
        searcher: name or instance; proposes configs.
        transfer: name or instance; adjusts the training of a proxy to its width. ``"auto"`` is
            ``"layerwise"``, or ``"power-law"`` for a pretrained network.
        ladder: the rungs, cheapest first, the last one ``Rung(1)``. The default depends on the
            width of the network; see :attr:`ladder`.
        density: shorthand for a ladder of two rungs, the first with this density.
        finalists: shorthand for the default ladder with this many trials on the full network.
        proxies: whether to search on proxies. ``"auto"`` does so while a proxy takes at most two
            thirds of the full network's time, and otherwise starts trials on the full network. It
            decides by step times before the first trial (with a limit of one third in a search of
            fewer than 10 trials), and by the times of trainings later. True always uses proxies,
            False never does. ``"auto"`` counts as True if ``ladder``, ``density`` or ``finalists``
            is given.
        repeats: the largest number of further trainings, under other seeds, of the two best
            trials of the full network. The mean over the seeds then decides. After the first two,
            repeats are made only if the noise of a seed may explain the difference. The default is
            2 in a search of 30 trials or more, and 2 more each time that it is continued, if all
            are then at most a fifteenth of the trials. The default is 0 in a shorter search, with
            ``ladder``, and if trials start on the full network.
        controls: how many trials, drawn at random from those that are not promoted, are trained
            on the full network as well. They make the comparison with the proxy less biased by
            selection. A verdict against the proxy requires ten. Controls are never stopped early.
        stopper: name or instance; ends trainings below the full network early. ``"auto"`` is
            ``"median"`` if the executor streams reports and there are no ``controls``. None lets
            all trainings finish.
        finalist_stopper: the same for the full network. A stopped training never becomes the best.
        executor: where trainings run; by default in this process.
        store: path of the file that keeps the study and from which it is resumed; its folder must
            exist. By default the study is kept in memory.
        seed: of the study; determines all randomness.
        pretrained: whether the network's weights are trained; then proxies inherit them unchanged.
            By default this is detected by building twice under different seeds.
        steps: how many reports a full training makes. Required if a rung has a budget below 1 and
            ``train`` takes no ``budget``: the training then ends after that fraction of reports.
        device: device of this machine on which step times are measured. By default the device
            on which the evaluator trains, or else the CPU.
        progress: whether to show progress: a panel in a notebook, a bar in a terminal, and lines
            where the output is written to a file.
        callbacks: functions that are called with every new :class:`~proxyhpo.Record`, and
            :class:`~proxyhpo.callbacks.Callback` objects, which also get reports as they arrive.
        check_memory: whether to run the largest ``batch_size`` of the space once on the full
            network before the search: a forward pass, a backward pass and buffers such as Adam's,
            on ``device``. It does not include further memory that ``train`` itself allocates.
        max_retries: how often a training is tried again after its worker died.
        ordered: with an executor that runs several trainings at a time, decide on that many
            together and wait for all of them. The study can then be repeated exactly with the same
            seed and number of workers. Workers may be idle in between.
        version: a label that distinguishes studies, for instance a version of the data.

    Raises:
        ArgumentError: for an invalid argument, before any training.
    """

    @suggesting_or(ELSEWHERE)
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
        transfer: str | Transfer = "auto",
        ladder: Sequence[Rung] | None = None,
        density: float | None = None,
        finalists: int | None = None,
        proxies: bool | Literal["auto"] = "auto",
        repeats: int | None = None,
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
        callbacks: Sequence[AnyCallback] = (),
        check_memory: bool = False,
        max_retries: int = 0,
        ordered: bool = False,
        version: str | int | None = None,
    ) -> None:
        began = time.perf_counter()
        problem = Problem.of(
            build,
            train,
            space,
            inputs=example_inputs,
            pruner=pruner,
            direction=direction,
            device=device,
            steps=steps,
            pretrained=pretrained,
        )
        climbing = Climbing(ladder, density, finalists, proxies, repeats)
        parts = climbing.parts(problem, searcher, transfer, seed, controls)
        executor, called = executor_of(executor), callbacks_of(callbacks)
        running = Running(executor, called, progress, check_memory, max_retries, ordered)
        stoppers = stoppers_of(stopper, finalist_stopper, parts, running.executor)
        path, mark = check_path(store), check_version(version)
        spent = time.perf_counter() - began  # mostly building networks; charged to the first run
        super().__init__(Setup(problem, parts, stoppers, running, path, mark, spent))

    @property
    def ladder(self) -> Sequence[Rung]:
        """The rungs, cheapest first. The default depends on the network.

        It is ``[Rung(1/8, keep=4), Rung(1)]`` if every layer except the heads has at least 64
        outputs. Otherwise the density is a quarter, or a half for a pretrained network. The number
        of finalists is four in a search of 40 to 79 trials, and one more after each doubling. A
        search of 30 to 39 trials has three, one of 10 to 29 trials two, and a shorter one a single
        finalist. On a default ladder some are promoted early: the best trial so far, after 8
        trials, after 16, and after each doubling. The last two (or one of at most two) are
        promoted at the end. A search without a number of trials promotes early in the same way.
        If the first three trials suggest that proxies save too little, the best of them is promoted
        early, to measure the saving. A search of fewer than 10 trials that then keeps its proxies
        has a second finalist.
        """
        return self._setup.parts.ladder

    @suggesting
    def run(
        self,
        n_trials: int | None = None,
        *,
        finalists: int | None = None,
        base_trainings: float | None = None,
        timeout: float | None = None,
        worth: float | None = None,
    ) -> Result:
        """Searches for ``n_trials`` trials or until a budget is spent, and promotes the best ones.

        A study that was run before, with this object or from its store, is resumed. After Ctrl-C
        the running trainings finish, no new ones start, and the result so far is returned; a second
        Ctrl-C does not wait for them. SIGTERM ends the process cleanly, with status 143.
        Interrupted trainings run again when the study is resumed.

        Args:
            n_trials: total number of trials, including failed ones and those of earlier runs.
                Required unless there is a budget.
            finalists: how many trials reach the full network, instead of the ladder's ``keep``.
            base_trainings: budget for the whole study, earlier runs included, in full trainings of
                the full network. The cost of the finalists is reserved, that of repeats is not:
                they are made if enough is left for all of them. The budget is exceeded by less than
                one training per worker.
            timeout: seconds for this run, including the climb, for which time is reserved in the
                same way. A training in this process ends at its next report.
            worth: the smallest expected improvement of the value per base training. No new trial
                starts if less is expected from the values of the last 20 trials (cost-aware
                stopping, arXiv:2507.12453).

        Raises:
            ArgumentError: for an invalid argument, or if the study is already running.
            TrainingFailedError: if no training has succeeded yet and five in a row raise an
                exception, or 20 fail for any reason, such as a value that is not finite.
            UnsupportedNetworkError: if no proxy can be made of the network.
            StoreError: if the store is in use, belongs to another study, or cannot be written.
        """
        limits = self._setup.running.limits(n_trials, timeout, base_trainings, worth)
        with self._running("run"):
            return self._run(self._setup.with_finalists(finalists), limits)

    @suggesting
    def climb(self, *, finalists: int | None = None) -> Result:
        """Promotes the best of the existing trials, without new ones.

        Raises:
            ArgumentError: if the study is already running.
            NotClimbedError: if there are no trials.
        """
        with self._running("climb"):
            return self._run(self._setup.with_finalists(finalists))

    @suggesting
    def check(
        self, n: int = 12, *, second_seed: bool = False, timeout: float | None = None
    ) -> Check:
        """Trains random configs on the first rung and on the full network, and compares the values.

        It costs about ``n`` trainings of the full network. Use it before a long search. With a
        ``store``, a second call resumes the first; the check has its own file beside the study's.
        The results of later runs of this object show the verdict, unless they have enough evidence
        of their own, or the check has too little.

        Args:
            n: total number of configs, including failed ones and those of earlier calls. Fewer than
                10 successful ones are not enough for a verdict against a proxy.
            second_seed: whether to train each config on the full network twice, to measure how well
                it agrees with itself; no proxy can agree better. This costs about twice as much.
            timeout: seconds for this call.

        Raises:
            ArgumentError: if the ladder has only the full network, or the study is already running.
        """
        if len(self.ladder) == 1:
            raise ArgumentError("check: the ladder has only the full network, no proxy to check")
        limits = self._setup.running.limits(check_whole("n", n, 1), timeout)
        with self._running("check"):
            study = OpenStudy.of(self._setup.for_check(n, second_seed=second_seed))
            result = run_study(study, limits, self._stopping.is_set)
        check = check_of(result, self._setup.step_seconds)
        self._setup = replace(self._setup, checked=check.fidelity)
        return check
