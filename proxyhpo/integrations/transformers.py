"""Trains with Hugging Face's ``Trainer``.

Requires the extra ``transformers``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, final

import transformers
from typing_extensions import override

from proxyhpo.errors import ArgumentError, EvaluatorError, unknown_metric
from proxyhpo.evaluators import ProxyEvaluator, ReportChoice, ReportFunction, TrialRun
from proxyhpo.evaluators._budget import within_budget
from proxyhpo.evaluators._interface import check_report_choice
from proxyhpo.evaluators._parameters import call_for_trial
from proxyhpo.evaluators._reads import UnusedWarning, recorded

if TYPE_CHECKING:
    from torch import nn

    from proxyhpo import Config

__all__ = ["ReportCallback", "TrainerEvaluator"]

_SEEDS = 2**32  # NumPy's are below


@final
class ReportCallback(transformers.TrainerCallback):
    """Reports a metric after each evaluation, and stops the trainer when the search asks.

    Use it in your own training function. :class:`TrainerEvaluator` adds it automatically::

        def train(network, config, report):
            trainer = Trainer(network, arguments, ..., callbacks=[ReportCallback(report)])
            trainer.train()

    Args:
        report: the function that your training function receives.
        monitor: name of the metric. The other metrics of the evaluation are reported along with it.
    """

    def __init__(self, report: ReportFunction, monitor: str = "eval_loss") -> None:
        self._report = report
        self._monitor = monitor
        self.has_reported = False

    @override
    def on_evaluate(
        self,
        args: transformers.TrainingArguments,
        state: transformers.TrainerState,
        control: transformers.TrainerControl,
        metrics: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Reports the metrics of the evaluation.

        Raises:
            EvaluatorError: if the metric is not among those of the evaluation.
        """
        numbers = {name: float(value) for name, value in (metrics or {}).items()}
        if self._monitor not in numbers:
            raise unknown_metric("metric of the evaluation", self._monitor, numbers)
        self.has_reported = True
        if self._report(numbers.pop(self._monitor), **numbers):
            control.should_training_stop = True


@final
class TrainerEvaluator(ProxyEvaluator):
    """Trains with your ``transformers.Trainer``.

    A budget below 1 trains for that fraction of ``max_steps`` if it is set, and otherwise of
    ``num_train_epochs``. The trainer's ``eval_strategy`` decides how often the training reports,
    and therefore how early it can be stopped. Without one, the network is evaluated once at the
    end. Each training has its own seed, which replaces ``TrainingArguments(seed=)``.

    Args:
        make_trainer: ``make_trainer(network, config)`` returns a new ``Trainer`` for this network.
            If it has a parameter ``trial``, it gets the :class:`~proxyhpo.evaluators.TrialRun`,
            whose ``name`` can name an output folder or a tracker's run.
        monitor: name of the metric that is the value, such as ``"eval_accuracy"``.
        use_report: which report is the training's value, ``"last"`` or ``"best"``; see
            :class:`~proxyhpo.evaluators.ProxyEvaluator`.

    Raises:
        ArgumentError: if ``make_trainer`` is not a function.
    """

    def __init__(
        self,
        make_trainer: Callable[..., transformers.Trainer],
        *,
        monitor: str = "eval_loss",
        use_report: ReportChoice = "last",
    ) -> None:
        if not callable(make_trainer):
            raise ArgumentError(
                f"make_trainer must be a function of a network and a config, got {make_trainer!r}"
            )
        self._make_trainer = make_trainer
        self._unused = UnusedWarning("make_trainer")
        self.monitor = monitor
        self.use_report = check_report_choice(use_report)

    @override
    def evaluate(
        self, network: nn.Module, config: Config, report: ReportFunction, *, trial: TrialRun
    ) -> None:
        """Calls ``Trainer.train``, and ``Trainer.evaluate`` if the training did not evaluate.

        Raises:
            EvaluatorError: if the trainer does not train the given network.
        """
        config = recorded(config, trial)
        trainer = call_for_trial(self._make_trainer, network, config, trial=trial)
        self._unused.check(config, trial)
        # Adapters, such as those of PEFT, contain the network.
        parts = () if trainer.model is None else trainer.model.modules()
        if trainer.model_init is not None or all(part is not network for part in parts):
            raise EvaluatorError(
                "make_trainer must pass the given network to the Trainer, as model= and not by "
                "model_init=; a model_init function is ProxyHPO's build"
            )
        # A Trainer seeds everything with args.seed, by default 42: all trainings would be alike.
        trainer.args.seed = trial.seed % _SEEDS
        transformers.set_seed(trainer.args.seed)
        if trial.budget < 1:
            arguments = trainer.args
            if arguments.max_steps > 0:
                arguments.max_steps = within_budget(arguments.max_steps, trial.budget)
            else:
                arguments.num_train_epochs *= trial.budget
        callback = ReportCallback(report, self.monitor)
        trainer.add_callback(callback)
        trainer.train()
        if not callback.has_reported:
            trainer.evaluate()

    def __repr__(self) -> str:
        return f"TrainerEvaluator(monitor={self.monitor!r})"
