"""Masks on single weights that hold throughout any training.

The parameters stay ordinary ones under their own names, so that optimizers, ``state_dict`` and
``deepcopy`` see an ordinary network. The masked weights are held at zero in three ways:

* a hook on each parameter zeroes their gradient, which is sufficient for optimizers that treat each
  coordinate separately;
* they are zeroed again after a step of any ``torch.optim`` optimizer, for optimizers that mix
  coordinates, such as Muon;
* they are zeroed again before a forward pass and after ``load_state_dict``, in case anything else
  has written to them. Copies of the network get their hooks here, too.

The masks are non-persistent buffers: they move with the network and are copied with it, but do not
appear in a ``state_dict``. They mark the weights that are *removed*, since filling with zeros also
removes NaN, and multiplication does not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook
from torch.utils.hooks import RemovableHandle
from torch.utils.weak import WeakTensorKeyDictionary

__all__ = ["hold_at_zero"]

_SUFFIX = "_proxyhpo_away"


class _Hold:
    """State shared by the hooks of one parameter. It must not refer to the parameter itself."""

    def __init__(self, away: Tensor) -> None:
        self.away = away
        self.is_hooked = False

    def zero(self, values: Tensor) -> None:
        values.masked_fill_(self.away.to(values.device), 0)

    def of_gradient(self, gradient: Tensor) -> Tensor:
        return gradient.masked_fill(self.away.to(gradient.device), 0)


_holds: MutableMapping[Tensor, _Hold] = WeakTensorKeyDictionary()


def hold_at_zero(network: nn.Module, away: Mapping[str, Tensor]) -> None:
    """Sets weights of a network to zero, and keeps them zero during any training.

    Args:
        network: changed in place.
        away: parameter name → boolean tensor of its shape, True where the weight is zeroed.
    """
    for name, mask in away.items():
        module, leaf = _owner(network, name)
        module.register_buffer(leaf + _SUFFIX, mask, persistent=False)
    holders = {_owner(network, name)[0] for name in away}
    for module in holders | {network}:
        module.register_forward_pre_hook(_before_forward)
    network.register_load_state_dict_post_hook(_before_forward)  # type: ignore[no-untyped-call]  # torch's
    _watch_optimizers()
    _hold_all(network)


def _owner(network: nn.Module, name: str) -> tuple[nn.Module, str]:
    """The module that contains a parameter, and the parameter's name there."""
    path, _, leaf = name.rpartition(".")
    return network.get_submodule(path), leaf


def _before_forward(module: nn.Module, *_: Any) -> None:
    _watch_optimizers()
    _hold_all(module)


def _hold_all(network: nn.Module) -> None:
    for parameter, away in _masked(network):
        hold = _holds.get(parameter)
        if hold is None:  # a copy of the network, or a replaced parameter
            hold = _holds[parameter] = _Hold(away)
        hold.away = away  # a new tensor if the network has moved to another device
        if parameter.requires_grad and not hold.is_hooked:
            parameter.register_hook(hold.of_gradient)  # type: ignore[no-untyped-call]  # torch's
            hold.is_hooked = True
        hold.zero(parameter.data)


def _masked(network: nn.Module) -> Iterator[tuple[Tensor, Tensor]]:
    for module in network.modules():
        for name, buffer in module.named_buffers(recurse=False):
            if name.endswith(_SUFFIX):
                # A parametrized weight is not a parameter; its original is masked.
                parameter = getattr(module, name.removesuffix(_SUFFIX), None)
                if isinstance(parameter, nn.Parameter):
                    yield parameter, buffer


def _watch_optimizers() -> None:
    """Registers one hook per process, for all optimizers; cheap for those of other networks.

    A training removes, when it ends, the global hooks that were registered during it. This is
    therefore checked again before each forward pass.
    """
    global _handle  # noqa: PLW0603 - the hooks of torch are global, too
    registered = None if _handle is None else _handle.hooks_dict_ref()
    if _handle is None or registered is None or _handle.id not in registered:
        _handle = register_optimizer_step_post_hook(_after_step)


_handle: RemovableHandle | None = None


def _after_step(optimizer: torch.optim.Optimizer, *_: Any) -> None:
    if not _holds:
        return
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            hold = _holds.get(parameter)
            if hold is not None:
                hold.zero(parameter.data)
