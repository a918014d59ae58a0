"""Trains Lightning modules: the network that is searched is the ``LightningModule`` itself.

Requires the extra ``lightning``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, final

import lightning
from typing_extensions import override

from proxyhpo.errors import ArgumentError, unknown_name
from proxyhpo.evaluators import ProxyEvaluator, ReportChoice, ReportFunction, TrialRun
from proxyhpo.evaluators._interface import check_report_choice
from proxyhpo.evaluators._parameters import call_for_trial

if TYPE_CHECKING:
    from torch import nn

    from proxyhpo import Config

__all__ = ["LightningEvaluator", "ReportCallback"]


@final
class ReportCallback(lightning.Callback):
    """Reports a logged metric after each validation, and stops the trainer when told to.

    For a training function of your own; :class:`LightningEvaluator` adds one by itself::

        def train(network, config, report):
            trainer = L.Trainer(max_epochs=10, callbacks=[ReportCallback(report, "val_acc")])
            trainer.fit(network, datamodule=data)

    Args:
        report: as a training function receives it.
        monitor: name of the metric, as ``self.log`` in the module called it. The other logged
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
            UnknownNameError: if the metric was not logged.
        """
        if trainer.sanity_checking:
            return
        logged = {name: float(value) for name, value in trainer.callback_metrics.items()}
        if self._monitor not in logged:
            raise unknown_name("metric logged by the module:", self._monitor, logged)
        value = logged.pop(self._monitor)
        logged.pop("seconds", None)  # has a special meaning in a report
        if self._report(value, **logged):
            trainer.should_stop = True


@final
class LightningEvaluator(ProxyEvaluator):
    """Fits a ``LightningModule`` with your trainer.

    ``build`` returns the module, with the config's hyperparameters set as you set them today, such
    as ``Module(lr=config["lr"])``. A budget below 1 trains for that fraction of ``max_epochs``.

    Args:
        make_trainer: ``make_trainer(config)`` returns a new ``Trainer`` for each training. If it
            has a parameter ``trial``, it gets the :class:`~proxyhpo.evaluators.TrialRun`, whose
            ``name`` can name a logger's run.
        data: a ``LightningDataModule``, a pair of loaders for training and validation, or a
            function of the config that returns either.
        monitor: name of the logged metric that is the value.
        use_report: which report is the training's value, ``"last"`` or ``"best"``; see
            :class:`~proxyhpo.evaluators.ProxyEvaluator`.

    Raises:
        ArgumentError: if ``make_trainer`` is not a function.

    The data is sent to workers together with the evaluator; give a function for data that is slow
    to copy.
    """

    def __init__(
        self,
        make_trainer: Callable[..., lightning.Trainer],
        data: Any,
        *,
        monitor: str,
        use_report: ReportChoice = "last",
    ) -> None:
        if not callable(make_trainer):
            raise ArgumentError(
                f"make_trainer must be a function of a config, got {make_trainer!r}"
            )
        self._make_trainer = make_trainer
        self._data = data
        self.monitor = monitor
        self.use_report = check_report_choice(use_report)

    @override
    def evaluate(
        self, network: nn.Module, config: Config, report: ReportFunction, *, trial: TrialRun
    ) -> None:
        """Calls ``Trainer.fit``.

        Raises:
            ArgumentError: if the network is not a ``LightningModule``, the trainer uses several
                processes, or it has no ``max_epochs`` to shorten for a budget below 1.
        """
        if not isinstance(network, lightning.LightningModule):
            raise ArgumentError(
                f"build must return a LightningModule, got a {type(network).__name__}"
            )
        trainer = call_for_trial(self._make_trainer, config, trial=trial)
        _prepare(trainer, trial.budget)
        trainer.callbacks.append(ReportCallback(report, self.monitor))  # type: ignore[attr-defined]  # set by a connector
        data = self._data(config) if callable(self._data) else self._data
        if isinstance(data, lightning.LightningDataModule):
            trainer.fit(network, datamodule=data)
        else:
            trainer.fit(network, *data)

    def __repr__(self) -> str:
        return f"LightningEvaluator(monitor={self.monitor!r})"


def _prepare(trainer: lightning.Trainer, budget: float) -> None:
    """Configures the trainer for a trial: one process, no sanity check, the budget's epochs."""
    if trainer.world_size > 1:
        raise ArgumentError(
            f"make_trainer: the trainer uses {trainer.world_size} processes, but a trial must use "
            "one: pass devices=1, and use several workers of ProcessExecutor instead"
        )
    trainer.num_sanity_val_steps = 0
    if budget == 1:
        return
    epochs = trainer.max_epochs
    if epochs is None or epochs < 1:
        raise ArgumentError("make_trainer: a rung has a budget below 1, so set max_epochs=")
    trainer.fit_loop.max_epochs = max(1, round(epochs * budget))
