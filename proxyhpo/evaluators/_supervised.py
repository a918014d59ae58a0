"""The evaluator with a training loop of its own, for classification and regression."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable
from itertools import islice
from typing import Any, Literal, final

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from typing_extensions import override

from proxyhpo._inputs import call
from proxyhpo._records.records import Config
from proxyhpo._validation import check_device, check_whole, suggesting
from proxyhpo.errors import UnknownNameError, unknown_name
from proxyhpo.evaluators._batches import Data, IndexBatches, batches, check_data, count
from proxyhpo.evaluators._interface import (
    Direction,
    ProxyEvaluator,
    ReportChoice,
    ReportFunction,
    TrialRun,
    check_report_choice,
)
from proxyhpo.evaluators._optimizers import OPTIMIZERS, check_setting, make_optimizer
from proxyhpo.evaluators._tasks import TASKS
from proxyhpo.space import Choice, Float, Int, Space

__all__ = ["SupervisedEvaluator"]

Criterion = Callable[[Tensor, Tensor], Tensor]

_SCHEDULES: dict[str, Callable[[float], float]] = {
    "cosine": lambda progress: (1 + math.cos(math.pi * progress)) / 2,
    "constant": lambda progress: 1.0,  # noqa: ARG005 - whatever the progress
}
"""Name → the factor of the learning rate after a given fraction of the training's steps."""


@final
class SupervisedEvaluator(ProxyEvaluator):
    """Trains on pairs of inputs and targets, and reports a validation value after each epoch.

    It uses these hyperparameters of a config, if present:

    - ``lr``, ``weight_decay``; ``momentum`` (``sgd``, with Nesterov's acceleration, and
      ``rmsprop``); ``beta1``, ``beta2`` (``adam``, ``adamw``); otherwise torch's defaults;
    - ``optimizer`` (a name), ``batch_size``, ``epochs``; otherwise the arguments given here;
    - ``label_smoothing`` (classification with the default loss); otherwise 0.

    Args:
        train_data: a tuple of two tensors (inputs, targets) with the examples in dimension 0,
            which stay on the device; or a map-style torch ``Dataset`` of such pairs.
        validation_data: the same kind. Do not use test data, since the search selects by it.
        task: ``"classification"``: the network returns logits of shape (batch, classes, ...) for
            integer targets of shape (batch, ...). It is trained with cross-entropy, and the value
            is the accuracy, in [0, 1]. ``"regression"``: as many outputs as targets. It is trained
            with the mean squared error, and the value is the loss.
        epochs: of a full training. A budget trains for that fraction of its steps, at least one.
        schedule: of the learning rate: ``"cosine"``, annealed to 0 within the budget, or
            ``"constant"``.
        device: where to train; by default CUDA if there is one.
        loss: (outputs, targets) → scalar tensor, instead of the task's loss.
        metric: (outputs, targets) of all validation examples → number, instead of the task's value.
            The user must then set the direction.
        batch_size: if the config has none. The last batch of an epoch may be smaller; it is
            omitted if it has a single example, on which batch normalisation cannot train.
        optimizer: if the config has none: ``"sgd"``, ``"adam"``, ``"adamw"`` or ``"rmsprop"``.
        num_workers: processes that load a ``Dataset``; 0 loads in the training process.
        use_report: which report is the training's value, ``"last"`` or ``"best"``; see
            :class:`~proxyhpo.evaluators.ProxyEvaluator`.
        ignore: hyperparameters of the space that training must not use, whatever their names, such
            as those that ``build`` takes.

    Each report has the validation ``"loss"`` as a metric (without label smoothing). If it is not
    finite, the value is not finite either. All validation outputs are kept on the device at once.

    Raises:
        ArgumentError: for a name, number or shape that is not allowed.
        TypeError: for data of another kind.
    """

    @suggesting
    def __init__(
        self,
        train_data: Data,
        validation_data: Data,
        *,
        task: Literal["classification", "regression"] = "classification",
        epochs: int = 10,
        schedule: Literal["cosine", "constant"] = "cosine",
        device: str | torch.device | None = None,
        loss: Criterion | None = None,
        metric: Callable[[Tensor, Tensor], Any] | None = None,
        batch_size: int = 64,
        optimizer: str = "sgd",
        num_workers: int = 0,
        use_report: ReportChoice = "last",
        ignore: Collection[str] = (),
    ) -> None:
        self._task = TASKS[_known("task", task, TASKS)]
        self._train_data = check_data("train_data", train_data)
        self._validation_data = check_data("validation_data", validation_data)
        for data in (self._train_data, self._validation_data):
            if isinstance(data, tuple):
                self._task.check_targets(data[1])
        self._device = None if device is None else check_device("device", device)
        self._loss = loss
        self._metric = metric
        self._num_workers = check_whole("num_workers", num_workers, 0)
        self.task = task
        self.epochs = check_whole("epochs", epochs, 1)
        self.schedule = _known("schedule", schedule, _SCHEDULES)
        self.batch_size = check_whole("batch_size", batch_size, 1)
        self.optimizer = _known("optimizer", optimizer, OPTIMIZERS)
        self.use_report = check_report_choice(use_report)
        if isinstance(ignore, str):
            raise TypeError(f"ignore must be a list of names, such as [{ignore!r}], got {ignore!r}")
        self.ignore = sorted(ignore)

    @property
    @override
    def direction(self) -> Direction | None:
        """Accuracy is maximised, a loss is minimised; None for a metric of the user's."""
        return None if self._metric else self._task.direction

    @override
    def check(self, space: Space) -> None:
        """Checks that training uses every hyperparameter and accepts every value."""
        used = {name: _options(space[name]) for name in sorted(set(space) - set(self.ignore))}
        optimizers = {
            _known("optimizer", option, OPTIMIZERS)
            for option in used.get("optimizer", [self.optimizer])
        }
        self._check_names(space, optimizers)
        for name, options in used.items():
            for option in options:
                if name in {"batch_size", "epochs"}:
                    check_whole(name, option, 1)
                if name in self._task.hyperparameters:
                    self._task.check_setting(name, option)
                for optimizer in sorted(optimizers):
                    if name in OPTIMIZERS[optimizer][1]:
                        check_setting(optimizer, name, option)

    @override
    @property
    def device(self) -> str:
        """Where it trains: the given device, or else CUDA if available."""
        return str(self._device or ("cuda" if torch.cuda.is_available() else "cpu"))

    @override
    def evaluate(
        self, network: nn.Module, config: Config, report: ReportFunction, *, trial: TrialRun
    ) -> None:
        """Trains the network in place, on the device, and reports after each epoch.

        The last epoch ends with the budget's last step, which may be in the middle.
        """
        self._check_names(config, OPTIMIZERS)
        config = {name: value for name, value in config.items() if name not in self.ignore}
        device = torch.device(self.device)
        network.to(device)
        size = config.get("batch_size", self.batch_size)
        n_steps, training = self._training_batches(size, trial.seed, device)
        validation = self._validation_batches(size, device)
        total = max(1, round(trial.budget * config.get("epochs", self.epochs) * n_steps))
        name = _known("optimizer", config.get("optimizer", self.optimizer), OPTIMIZERS)
        optimizer = make_optimizer(network.parameters(), name, config)
        shape = _SCHEDULES[self.schedule]
        scheduler = LambdaLR(optimizer, lambda step: shape(step / total))
        for done in range(0, total, n_steps):
            network.train()
            for inputs, targets in islice(training, min(n_steps, total - done)):
                optimizer.zero_grad()
                loss = self._objective(call(network, inputs), targets, config)
                loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
                optimizer.step()
                scheduler.step()
            value, validation_loss = self._validated(network, validation)
            if report(value, loss=validation_loss):
                break

    def _training_batches(
        self, size: int, seed: int, device: torch.device
    ) -> tuple[int, Iterable[tuple[Any, Tensor]]]:
        """The number of batches in an epoch, and the batches, reshuffled for each epoch."""
        generator = torch.Generator().manual_seed(seed)
        indices = IndexBatches(count(self._train_data), size, generator, drop_single=True)
        return len(indices), batches(
            self._train_data, indices, device, num_workers=self._num_workers
        )

    def _validation_batches(self, size: int, device: torch.device) -> Iterable[tuple[Any, Tensor]]:
        # No activations are kept for a backward pass, so larger batches fit.
        indices = IndexBatches(count(self._validation_data), 4 * size)
        return batches(self._validation_data, indices, device, num_workers=self._num_workers)

    def _objective(self, outputs: Tensor, targets: Tensor, config: Config) -> Tensor:
        outputs, targets = self._task.matched(outputs, targets)
        if self._loss is not None:
            return self._loss(outputs, targets)
        return self._task.loss(outputs, targets, config)

    @torch.no_grad()
    def _validated(
        self, network: nn.Module, validation: Iterable[tuple[Any, Tensor]]
    ) -> tuple[float, float]:
        """The value and the loss on the validation data."""
        network.eval()
        pairs = [(call(network, inputs), targets) for inputs, targets in validation]
        outputs, targets = (torch.cat(tensors) for tensors in zip(*pairs, strict=True))
        loss = float(self._objective(outputs, targets, {}))
        outputs, targets = self._task.matched(outputs, targets)
        if not math.isfinite(loss):
            value = math.nan
        elif self._metric is not None:
            value = float(self._metric(outputs, targets))
        else:
            value = self._task.value(outputs, targets, loss)
        return value, loss

    def _check_names(self, names: Iterable[str], optimizers: Iterable[str]) -> None:
        allowed = {"optimizer", "batch_size", "epochs", *self.ignore}
        allowed.update(*(OPTIMIZERS[name][1] for name in optimizers))
        if self._loss is None:
            allowed |= self._task.hyperparameters
        for name in names:
            if name not in allowed:
                what = f"hyperparameter for a {self.task} with {' or '.join(sorted(optimizers))}:"
                raise UnknownNameError(
                    f"{unknown_name(what, name, allowed)}. For a hyperparameter that training "
                    f"must not use, such as one of build's: SupervisedEvaluator(ignore=[{name!r}])"
                )

    def __repr__(self) -> str:
        return (
            f"SupervisedEvaluator(task={self.task!r}, epochs={self.epochs}, "
            f"schedule={self.schedule!r}, optimizer={self.optimizer!r})"
        )


def _options(given: Any) -> list[Any]:
    """The values that a hyperparameter or constant can take; for a range its bounds."""
    if isinstance(given, Choice):
        return [given.resolve(value) for value in given.values]
    return [given.low, given.high] if isinstance(given, (Float, Int)) else [given]


def _known(argument: str, given: Any, allowed: Iterable[str]) -> Any:
    if not isinstance(given, str) or given not in allowed:
        raise unknown_name(argument, given, allowed)
    return given
