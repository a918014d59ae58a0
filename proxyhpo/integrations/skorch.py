"""Trains with skorch's ``NeuralNet``.

Requires the extra ``skorch``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, final

import torch
from skorch import NeuralNet
from skorch.callbacks import Callback
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

__all__ = ["ReportCallback", "SkorchEvaluator"]

_UNSPLIT = (
    "without a train_split the net has no valid_ columns; leave train_split as it is, or pass "
    "skorch.helper.predefined_split(validation_data)."
)
_OF_DTYPES = re.compile("dtype|double", re.IGNORECASE)


@final
class ReportCallback(Callback):  # type: ignore[misc]  # skorch has no types
    """Reports a column of the history after each epoch, and ends the fit when the search asks.

    Use it in your own training function. :class:`SkorchEvaluator` adds it automatically.

    Args:
        report: the function that your training function receives.
        monitor: name of the column, such as ``"valid_loss"`` or ``"valid_acc"``. The other numbers
            of the epoch are reported along with it.
    """

    def __init__(self, report: ReportFunction, monitor: str = "valid_loss") -> None:
        self.report = report
        self.monitor = monitor

    @override
    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Reports the epoch.

        Raises:
            EvaluatorError: if the history has no such column.
            KeyboardInterrupt: to end the fit, as skorch's own ``EarlyStopping`` does.
        """
        epoch = net.history[-1]
        numbers = {
            name: float(value)
            for name, value in epoch.items()
            if isinstance(value, (int, float)) and not isinstance(value, bool)
        }
        if self.monitor not in numbers:
            unsplit = not net.train_split and self.monitor.startswith("valid_")
            hint = _UNSPLIT if unsplit else ""
            raise unknown_metric("column of the history", self.monitor, numbers, hint=hint)
        if self.report(numbers.pop(self.monitor), **numbers):
            raise KeyboardInterrupt


@final
class SkorchEvaluator(ProxyEvaluator):
    """Fits your ``NeuralNet``.

    A budget below 1 trains for that fraction of ``max_epochs``.

    Args:
        make_net: ``make_net(network, config)`` returns a new net around this network, such as
            ``NeuralNetClassifier(network, lr=config["lr"], max_epochs=20)``. If it has a parameter
            ``trial``, it gets the :class:`~proxyhpo.evaluators.TrialRun`, too.
        X: the inputs, in any form that ``fit`` takes: an array, a tensor or a data set.
        y: the targets; None for a data set that includes them.
        monitor: name of the column of the history that is the value.
        use_report: which report is the training's value, ``"last"`` or ``"best"``; see
            :class:`~proxyhpo.evaluators.ProxyEvaluator`.

    Raises:
        ArgumentError: if ``make_net`` is not a function.
    """

    def __init__(
        self,
        make_net: Callable[..., NeuralNet],
        X: Any,  # noqa: N803 - the name that scikit-learn's users know
        y: Any = None,
        *,
        monitor: str = "valid_loss",
        use_report: ReportChoice = "last",
    ) -> None:
        if not callable(make_net):
            raise ArgumentError(
                f"make_net must be a function of a network and a config, got {make_net!r}"
            )
        self._make_net = make_net
        self._unused = UnusedWarning("make_net")
        self._data = (X, y)
        self.monitor = monitor
        self.use_report = check_report_choice(use_report)

    @override
    def evaluate(
        self, network: nn.Module, config: Config, report: ReportFunction, *, trial: TrialRun
    ) -> None:
        """Calls ``NeuralNet.fit``.

        Raises:
            EvaluatorError: if ``make_net`` does not return a net, or returns one with another
                network; or if the network fails because ``X`` is float64 and its weights float32.
        """
        config = recorded(config, trial)
        net = call_for_trial(self._make_net, network, config, trial=trial)
        self._unused.check(config, trial)
        if not isinstance(net, NeuralNet):
            raise EvaluatorError(
                f"make_net must return a skorch NeuralNet, got {type(net).__name__}. Return the "
                "net alone: apply the other steps of a Pipeline to X before the search; the search "
                "replaces GridSearchCV"
            )
        if net.module is not network:
            raise EvaluatorError("make_net must pass the given network to the net, as module=")
        if remade := net.get_params_for("module"):
            raise EvaluatorError(
                f"make_net: with module__{next(iter(remade))}= the net builds its own network; "
                "let build(config) use such hyperparameters"
            )
        own = () if net.callbacks == "disable" else net.callbacks or ()
        net.callbacks = [*own, ReportCallback(report, self.monitor)]
        net.max_epochs = within_budget(net.max_epochs, trial.budget)
        try:
            net.fit(*self._data)
        except (RuntimeError, ValueError) as error:  # torch raises either
            # Only a failed fit tells whether the network casts its inputs itself.
            if _OF_DTYPES.search(str(error)) and _mixes_precision(self._data[0], network):
                raise EvaluatorError(
                    "X is float64, but the network's weights are float32: pass "
                    'X.astype("float32"), or X.float() for a tensor'
                ) from error
            raise

    def __repr__(self) -> str:
        return f"SkorchEvaluator(monitor={self.monitor!r})"


def _mixes_precision(X: Any, network: nn.Module) -> bool:  # noqa: N803 - as in the evaluator
    is_double = str(getattr(X, "dtype", None)) in ("float64", "torch.float64")
    dtypes = {weight.dtype for weight in network.parameters() if weight.is_floating_point()}
    return is_double and dtypes == {torch.float32}
