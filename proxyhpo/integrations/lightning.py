"""Trains Lightning modules: the network that is searched is the ``LightningModule`` itself.

Requires the extra ``lightning``.
"""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import lightning
from lightning.fabric.utilities.warnings import PossibleUserWarning
from typing_extensions import override

from proxyhpo.errors import ArgumentError, EvaluatorError, unknown_metric
from proxyhpo.evaluators import ProxyEvaluator, ReportChoice, ReportFunction, TrialRun
from proxyhpo.evaluators._budget import within_budget
from proxyhpo.evaluators._interface import check_report_choice
from proxyhpo.evaluators._parameters import call_for_trial
from proxyhpo.evaluators._reads import UnusedWarning, recorded, unread

if TYPE_CHECKING:
    from torch import nn

    from proxyhpo import Config

__all__ = ["LightningEvaluator", "ReportCallback"]

_REPETITIVE = (
    "pytorch.utilities.rank_zero",
    "fabric.utilities.rank_zero",
    "fabric.utilities.seed",
    "pytorch.accelerators.cuda",
    "pytorch.callbacks.model_summary",
)
"""Lightning's loggers for devices, tips, seeds, layers, and the reason why a training ended.

Callbacks use some of them too.
"""


@final
class ReportCallback(lightning.Callback):
    """Reports a logged metric after each validation, and stops the trainer when the search asks.

    Use it in your own training function. :class:`LightningEvaluator` adds it automatically::

        def train(network, config, report):
            trainer = L.Trainer(max_epochs=10, callbacks=[ReportCallback(report, "val_acc")])
            trainer.fit(network, datamodule=data)

    Args:
        report: the function that your training function receives.
        monitor: name of the metric, as the module passes it to ``self.log``. The other logged
            metrics are reported along with it.
    """

    def __init__(self, report: ReportFunction, monitor: str) -> None:
        self._report = report
        self._monitor = monitor

    @override
    def on_validation_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Reports what was logged; the trainer's sanity check before training is not reported.

        Raises:
            EvaluatorError: if the metric was not logged.
        """
        if trainer.sanity_checking:
            return
        logged = {name: float(value) for name, value in trainer.callback_metrics.items()}
        if self._monitor not in logged:
            raise unknown_metric("metric logged by the module", self._monitor, logged)
        value = logged.pop(self._monitor)
        logged.pop("seconds", None)  # has a special meaning in a report
        if self._report(value, **logged):
            trainer.should_stop = True


@final
class LightningEvaluator(ProxyEvaluator):
    """Fits a ``LightningModule`` with your trainer.

    ``build`` takes the config and returns the module with its hyperparameters, such as
    ``lambda config: Module(lr=config["lr"])``. A budget below 1 trains for that fraction of
    ``max_epochs``.

    Args:
        make_trainer: ``make_trainer(config)`` returns a new ``Trainer`` for each training. If it
            has a parameter ``trial``, it gets the :class:`~proxyhpo.evaluators.TrialRun`, whose
            ``name`` can name a logger's run.
        data: a ``LightningDataModule``, a pair of loaders for training and validation, or a
            function of the config that returns either.
        monitor: name of the logged metric that is the value.
        use_report: which report is the training's value, ``"last"`` or ``"best"``; see
            :class:`~proxyhpo.evaluators.ProxyEvaluator`.
        verbose: whether to show the messages that Lightning repeats in every training: its lines on
            devices, tips, advice on data loaders, and the model summary as plain text. Other
            callbacks, loggers and progress bars of the trainer are not affected.

    Raises:
        ArgumentError: if ``make_trainer`` is not a function.

    The data is sent to workers together with the evaluator. If it is slow to copy, pass a function.
    """

    def __init__(
        self,
        make_trainer: Callable[..., lightning.Trainer],
        data: Any,
        *,
        monitor: str,
        use_report: ReportChoice = "last",
        verbose: bool = False,
    ) -> None:
        if isinstance(make_trainer, lightning.Trainer):
            raise ArgumentError(
                "make_trainer must be a function of a config, because each training needs a new "
                "trainer, got a Trainer: pass lambda config: L.Trainer(...)"
            )
        if not callable(make_trainer):
            raise ArgumentError(
                f"make_trainer must be a function of a config, got {make_trainer!r}"
            )
        self._make_trainer = make_trainer
        self._data = data
        self._verbose = verbose
        self._unused = UnusedWarning("make_trainer")
        self.monitor = monitor
        self.use_report = check_report_choice(use_report)

    @override
    def evaluate(
        self, network: nn.Module, config: Config, report: ReportFunction, *, trial: TrialRun
    ) -> None:
        """Calls ``Trainer.fit``.

        Raises:
            EvaluatorError: if the network is not a ``LightningModule``, its ``hparams`` contain a
                hyperparameter that nothing reads from the config, the trainer uses several
                processes, or it has no ``max_epochs`` to shorten for a budget below 1.
        """
        if not isinstance(network, lightning.LightningModule):
            raise EvaluatorError(
                f"build must return a LightningModule, got a {type(network).__name__}"
            )
        config = recorded(config, trial)
        with nullcontext() if self._verbose else _quiet():
            trainer = call_for_trial(self._make_trainer, config, trial=trial)
            _prepare(trainer, trial.budget)
            trainer.callbacks += [  # type: ignore[attr-defined]  # set by a connector
                _UseOfConfig(config, trial, self._unused),
                ReportCallback(report, self.monitor),
            ]
            data = self._data(config) if callable(self._data) else self._data
            if isinstance(data, lightning.LightningDataModule):
                trainer.fit(network, datamodule=data)
            else:
                trainer.fit(network, *data)

    def __repr__(self) -> str:
        return f"LightningEvaluator(monitor={self.monitor!r})"


@final
class _UseOfConfig(lightning.Callback):
    """Checks that the training uses the hyperparameters, if ``build`` does not take the config.

    The check is made when the training starts, because other callbacks may read the config before.
    """

    def __init__(self, config: Config, trial: TrialRun, unused: UnusedWarning) -> None:
        self._config = config
        self._trial = trial
        self._unused = unused

    @override
    def on_train_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Refuses hyperparameters that the module has but nothing reads from the config.

        Values are not compared, because the module's may equal the config's by chance.

        Raises:
            EvaluatorError: for such a hyperparameter, which the message names.
        """
        own = pl_module.hparams
        for name in unread(self._config, self._trial):
            if name in own:
                raise EvaluatorError(
                    f"build takes no config, so {name!r} is not tuned: the module was built with "
                    f"{name}={own[name]!r}, and nothing reads {name!r} from the config. Let build "
                    f"take the config: lambda config: {type(pl_module).__name__}(**config)"
                )
        self._unused.check(self._config, self._trial)


def _prepare(trainer: lightning.Trainer, budget: float) -> None:
    """Configures the trainer for a trial: one process, no sanity check, the budget's epochs."""
    if trainer.world_size > 1:
        raise EvaluatorError(
            f"make_trainer: the trainer uses {trainer.world_size} processes, but a trial must use "
            "one: pass devices=1, and use several workers of ProcessExecutor instead"
        )
    trainer.num_sanity_val_steps = 0
    if budget == 1:
        return
    epochs = trainer.max_epochs
    if epochs is None or epochs < 1:
        raise EvaluatorError(
            "make_trainer: the trainer needs max_epochs=, because a rung has a budget below 1"
        )
    trainer.fit_loop.max_epochs = within_budget(epochs, budget)


@contextmanager
def _quiet() -> Iterator[None]:
    """Hides the messages that Lightning repeats in every training of this thread.

    Its logged warnings remain. So does everything that the user's callbacks and code log, also
    through Lightning's functions.
    """
    thread, package = threading.get_ident(), Path(lightning.__file__).parent

    def is_wanted(record: logging.LogRecord) -> bool:
        if record.levelno != logging.INFO or record.thread != thread:
            return True
        caller = Path(record.pathname)
        is_callback = package / "pytorch/callbacks" in caller.parents
        return package not in caller.parents or (is_callback and caller.stem != "model_summary")

    loggers = [logging.getLogger(f"lightning.{name}") for name in _REPETITIVE]
    with warnings.catch_warnings():  # one thread at a time trains, see proxyhpo._isolation
        for category in (FutureWarning, DeprecationWarning, PossibleUserWarning):
            warnings.filterwarnings("ignore", category=category, module=r"lightning\.")
        try:
            for logger in loggers:
                logger.addFilter(is_wanted)
            yield
        finally:
            for logger in loggers:
                logger.removeFilter(is_wanted)
