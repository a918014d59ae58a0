"""The differences between supervised tasks: targets, loss and reported value."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Final, final

import torch
import torch.nn.functional as F
from torch import Tensor
from typing_extensions import override

from proxyhpo._records.records import Config
from proxyhpo.errors import ArgumentError
from proxyhpo.evaluators._interface import Direction

__all__ = ["TASKS", "Task"]


class Task(ABC):
    """A kind of supervised learning. B is the number of examples."""

    direction: Direction
    """Which values are better."""

    hyperparameters: frozenset[str]
    """The names that its loss takes from a config."""

    @abstractmethod
    def check_targets(self, targets: Tensor) -> None:
        """Checks targets of shape (B, ...) and raises an ArgumentError for a wrong type."""

    @abstractmethod
    def check_setting(self, name: str, value: Any) -> None:
        """Checks that the loss accepts a value of a hyperparameter; raises an ArgumentError."""

    @abstractmethod
    def matched(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """The network's outputs and the targets, with matching shapes and types.

        Raises:
            ArgumentError: if they do not match.
        """

    @abstractmethod
    def loss(self, outputs: Tensor, targets: Tensor, config: Config) -> Tensor:
        """The training loss of a matched pair, a scalar; an empty config means no options."""

    @abstractmethod
    def value(self, outputs: Tensor, targets: Tensor, loss: float) -> float:
        """The reported value of a matched pair that has this (unsmoothed) loss."""


@final
class _Classification(Task):
    """Logits of shape (B, classes, ...) for integer targets of shape (B, ...)."""

    direction = "maximize"
    hyperparameters = frozenset({"label_smoothing"})

    @override
    def check_targets(self, targets: Tensor) -> None:
        if targets.is_floating_point() or targets.is_complex():
            raise ArgumentError(
                f"a classification needs targets of an integer type, got {targets.dtype}; did you "
                'mean task="regression"?'
            )

    @override
    def check_setting(self, name: str, value: Any) -> None:
        try:
            self.loss(torch.zeros(1, 2), torch.zeros(1, dtype=torch.long), {name: value})
        except (TypeError, RuntimeError) as error:
            raise ArgumentError(
                f"{name} may be {value!r} in this space, which the loss rejects: {error}"
            ) from error

    @override
    def matched(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        self.check_targets(targets)
        if outputs.ndim < 2 or outputs.shape[1] < 2:
            raise ArgumentError(
                "the network must return logits of shape (batch, classes, ...) with at least 2 "
                f"classes, got {tuple(outputs.shape)}"
            )
        return outputs, targets.long()

    @override
    def loss(self, outputs: Tensor, targets: Tensor, config: Config) -> Tensor:
        return F.cross_entropy(outputs, targets, label_smoothing=config.get("label_smoothing", 0.0))

    @override
    def value(self, outputs: Tensor, targets: Tensor, loss: float) -> float:
        return float((outputs.argmax(1) == targets).double().mean())


@final
class _Regression(Task):
    """As many outputs as targets."""

    direction = "minimize"
    hyperparameters = frozenset()

    @override
    def check_targets(self, targets: Tensor) -> None:
        if targets.is_complex():
            raise ArgumentError(f"a regression needs real targets, got {targets.dtype}")

    @override
    def check_setting(self, name: str, value: Any) -> None:
        """It has no hyperparameters."""

    @override
    def matched(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        self.check_targets(targets)
        if outputs.numel() != targets.numel():
            raise ArgumentError(
                f"the network's outputs of shape {tuple(outputs.shape)} do not match targets of "
                f"shape {tuple(targets.shape)}"
            )
        # (B, 1) and (B,) would silently broadcast to (B, B).
        return outputs, targets.reshape(outputs.shape).to(outputs.dtype)

    @override
    def loss(self, outputs: Tensor, targets: Tensor, config: Config) -> Tensor:
        return F.mse_loss(outputs, targets)

    @override
    def value(self, outputs: Tensor, targets: Tensor, loss: float) -> float:
        return loss


TASKS: Final[dict[str, Task]] = {
    "classification": _Classification(),
    "regression": _Regression(),
}
"""Name → task."""
