"""Whether a network normalises activations, by a module or by a function that its forward calls."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from proxyhpo._inputs import Inputs, call
from proxyhpo.channels.find.forward import undisturbed
from proxyhpo.channels.find.trace import Setting, with_or_without_values

__all__ = ["has_norm_modules", "normalises"]

logger = logging.getLogger("proxyhpo")

_FUNCTIONS = frozenset(
    prefix + name
    for name in ("layer_norm", "batch_norm", "group_norm", "instance_norm", "rms_norm")
    for prefix in ("", "native_")
)


def has_norm_modules(network: nn.Module) -> bool:
    """Whether a module normalises activations; recognized by names like torch's.

    A module that only contains others, such as ``NormFreeNet``, does not count.

    >>> has_norm_modules(nn.LayerNorm(3)), has_norm_modules(nn.Tanh())
    (True, False)
    """
    names = [type(module).__name__.lower() for module in network.modules() if _works(module)]
    return any("norm" in name and "spectral" not in name and "weight" not in name for name in names)


def _works(module: nn.Module) -> bool:
    """Whether it contains no modules, or has its own tensors."""
    is_leaf = next(module.children(), None) is None
    return is_leaf or any(True for _ in (*module.parameters(False), *module.buffers(False)))


def normalises(network: nn.Module, inputs: Inputs) -> bool:
    """Whether a module, or a torch function called in a forward pass, normalises activations.

    The forward pass only runs if no module does. It uses a copy and two examples, without values if
    the network is large.
    """
    if has_norm_modules(network):
        return True
    for meta in with_or_without_values(network):
        setting = Setting(meta=meta, batch=2)
        device = torch.device("meta" if meta else "cpu")
        calls = _Calls()
        try:
            with undisturbed(), torch.no_grad(), device, calls:
                call(setting.network(network).train(), setting.inputs(inputs))
        except Exception as error:  # noqa: BLE001 - a user's forward may raise anything
            logger.debug("no forward of %s: %s", type(network).__name__, error)
            continue
        return calls.normalise
    return False


class _Calls(TorchFunctionMode):
    """Records whether a normalising function is called within the block."""

    def __init__(self) -> None:
        super().__init__()
        self.normalise = False

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:  # the signature that torch calls
        del types
        self.normalise |= getattr(func, "__name__", "") in _FUNCTIONS
        return func(*args, **(kwargs or {}))
