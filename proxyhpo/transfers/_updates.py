"""The arguments of a rule that scales updates, and the kinds of optimizers.

How the size of an update depends on the gradient determines how it must change with the width. Four
kinds are distinguished; updates of other kinds are not scaled.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

__all__ = ["Update", "UpdateKind", "UpdateRule", "decoupled_decay", "update_kind"]


@dataclass(frozen=True)
class Update:
    """The update of one parameter of a proxy by one optimizer.

    Args:
        parameter: its name in the network.
        r_in: fan-in in the proxy / fan-in in the full network; 1 for parameters that sum nothing
            (biases, gains of norms, embeddings, positions).
        r_out: the same for the number of its outputs.
        optimizer: makes the update.
        group: the optimizer's settings for it, one of its ``param_groups``.
        has_norms: whether the network has normalisation layers.
    """

    parameter: str
    r_in: float
    r_out: float
    optimizer: Optimizer
    group: Mapping[str, Any]
    has_norms: bool = True


UpdateRule = Callable[[Update], float | None]
"""Returns the factor of an update; None if it does not know the optimizer."""


class UpdateKind(Enum):
    """How the size of an optimizer's update depends on the gradient and the parameter."""

    PROPORTIONAL = "proportional to the gradient, as SGD's"
    NORMALISED = "independent of the gradient's size, entry by entry, as Adam's"
    RELATIVE = "proportional to the parameter's norm, as LAMB's"
    ORTHOGONAL = "a matrix with equal singular values, as Muon's"


_KINDS = {
    UpdateKind.PROPORTIONAL: "SGD SGDW NesterovSGD SGDP",
    UpdateKind.NORMALISED: "Adam AdamW Adamax AMSGrad NAdam NAdamW RAdam SparseAdam RMSprop "
    "RMSpropTF Adagrad Adadelta Rprop Lion Tiger AdaBelief AdaBound Adan AdamP Yogi AdEMAMix",
    UpdateKind.RELATIVE: "Adafactor LAMB LARS",
    UpdateKind.ORTHOGONAL: "Muon",
}
_KIND_BY_NAME = {name.lower(): kind for kind, names in _KINDS.items() for name in names.split()}
# Other libraries extend these names: FusedAdam, PagedAdamW8bit, DeepSpeedCPUAdam.
_AFFIXES = re.compile(r"^(?:fused|paged|deepspeed|cpu)+|(?:_?(?:4|8|32)bit|legacy|fused)+$")


def update_kind(update: Update) -> UpdateKind | None:
    """The kind of an update; None for unknown optimizers.

    Optimizers whose parameters are not their iterates (L-BFGS, schedule-free ones, averaged SGD),
    or that estimate the learning rate from the distance travelled (D-Adaptation, Prodigy), are
    excluded on purpose, since scaled updates would mislead them.

    >>> weight = torch.nn.Parameter(torch.zeros(2, 2))
    >>> update_kind(Update("weight", 0.5, 0.5, torch.optim.AdamW([weight]), {})).name
    'NORMALISED'
    """
    kind = _kind_of_class(type(update.optimizer))
    if kind is UpdateKind.RELATIVE and update.group.get("scale_parameter") is False:
        return UpdateKind.NORMALISED  # Adafactor without its relative step size
    if kind is UpdateKind.ORTHOGONAL and update.group.get("use_muon") is False:
        return UpdateKind.NORMALISED  # the group that Muon leaves to Adam
    return kind


def _kind_of_class(kind: type[Optimizer]) -> UpdateKind | None:
    return next((_KIND_BY_NAME[name] for name in _names(kind) if name in _KIND_BY_NAME), None)


def _names(kind: type[Optimizer]) -> Iterator[str]:
    """The names of an optimizer's class and its bases, without what other libraries add to them."""
    return (_without_affixes(base.__name__) for base in kind.__mro__)


@lru_cache(maxsize=64)  # asked for at each step
def _without_affixes(name: str) -> str:
    return _AFFIXES.sub("", name.lower())


_DECOUPLED = frozenset({"adamw", "nadamw", "sgdw", "lion", "muon"})


def decoupled_decay(optimizer: Optimizer, group: Mapping[str, Any]) -> float | Tensor:
    """The fraction of a parameter that one step subtracts by decoupled weight decay.

    >>> weight = torch.nn.Parameter(torch.zeros(2))
    >>> optimizer = torch.optim.AdamW([weight], lr=0.5, weight_decay=0.25)
    >>> decoupled_decay(optimizer, optimizer.param_groups[0])
    0.125
    """
    flags = ("decoupled_weight_decay", "decoupled_decay", "weight_decouple")
    told = next((group[flag] for flag in flags if flag in group), None)
    if told is None:
        told = not _DECOUPLED.isdisjoint(_names(type(optimizer)))
        told |= isinstance(optimizer, torch.optim.Adafactor)
    lr, decay = group.get("lr"), group.get("weight_decay")
    if not told or lr is None or not decay:
        return 0.0
    if isinstance(lr, Tensor) and lr.device.type == "cpu":
        lr = lr.item()
    share: float | Tensor = lr * decay
    return share
