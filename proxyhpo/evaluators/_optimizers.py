"""The optimizers that an evaluator knows by name, and the hyperparameters that each uses."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from proxyhpo._records.records import Config
from proxyhpo.errors import ArgumentError

__all__ = ["OPTIMIZERS", "check_setting", "make_optimizer"]

OPTIMIZERS: dict[str, tuple[Callable[..., torch.optim.Optimizer], frozenset[str]]] = {
    "sgd": (torch.optim.SGD, frozenset({"lr", "weight_decay", "momentum"})),
    "adam": (torch.optim.Adam, frozenset({"lr", "weight_decay", "beta1", "beta2"})),
    "adamw": (torch.optim.AdamW, frozenset({"lr", "weight_decay", "beta1", "beta2"})),
    "rmsprop": (torch.optim.RMSprop, frozenset({"lr", "weight_decay", "momentum"})),
}
"""Name → (class of torch, the hyperparameters it uses)."""


def make_optimizer(
    weights: Iterable[nn.Parameter], name: str, config: Config
) -> torch.optim.Optimizer:
    """Creates the optimizer of that name, with the values that it uses of the config."""
    make, used = OPTIMIZERS[name]
    given = {key: config[key] for key in used & set(config)}
    if "beta1" in used:
        given["betas"] = (given.pop("beta1", 0.9), given.pop("beta2", 0.999))
    if name == "sgd":
        given["nesterov"] = given.get("momentum", 0) > 0
    return make(weights, **given)


def check_setting(optimizer: str, name: str, value: Any) -> None:
    """Checks that torch's optimizer accepts a value, and that momentum is below 1.

    Raises:
        ArgumentError: names the hyperparameter.
    """
    may = f"{name} may be {value!r} in this space"
    try:
        make_optimizer([nn.Parameter(torch.zeros(1))], optimizer, {name: value})
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"{may}, which {optimizer} rejects: {error}") from error
    if name == "momentum" and value >= 1:  # torch accepts it, but training diverges
        raise ArgumentError(f"{may}, with which {optimizer} diverges: it must be below 1")
