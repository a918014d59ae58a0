"""Copies of a network with other tensors in the place of its own.

A copy shares nothing but what is handed in, needs no second set of weights, and keeps ties,
hooks, parametrizations and modes, since :func:`copy.deepcopy` does all but the tensors.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from proxyhpo.errors import UnsupportedNetworkError

__all__ = ["copy_with", "owned_tensors", "refuse", "unwrap"]


def unwrap(network: nn.Module) -> nn.Module:
    """The user's own network inside ``torch.compile``, DataParallel or DistributedDataParallel."""
    if isinstance(network, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
        return unwrap(network.module)
    inside = getattr(network, "_orig_mod", None)  # what torch.compile calls it
    return unwrap(inside) if isinstance(inside, nn.Module) else network


def refuse(network: nn.Module) -> None:
    """Raises for modules that cannot be looked into.

    Raises:
        UnsupportedNetworkError: naming the module and its type.
    """
    for name, module in network.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            raise UnsupportedNetworkError(
                f"module {name!r} ({type(module).__name__}) is compiled by TorchScript, which "
                "fixes its sizes: hand in the module that was scripted or traced"
            )
    for name, tensor in owned_tensors(network).items():
        if is_lazy(tensor):
            module = network.get_submodule(name.rpartition(".")[0])
            raise UnsupportedNetworkError(
                f"parameter {name!r} of a {type(module).__name__} has no shape yet: run the "
                "network once on a batch before handing it in"
            )


def owned_tensors(network: nn.Module) -> dict[str, Tensor]:
    """Every parameter, buffer and plain tensor attribute, each once, by its first name."""
    found: dict[str, Tensor] = dict(network.named_parameters())
    found.update(network.named_buffers())
    seen = {id(tensor) for tensor in found.values()}
    for prefix, module in network.named_modules():
        for name, value in vars(module).items():
            if isinstance(value, Tensor) and id(value) not in seen:
                seen.add(id(value))
                found[f"{prefix}.{name}" if prefix else name] = value
    return found


def copy_with(
    network: nn.Module, make: Callable[[str, Tensor], Tensor], owned: Mapping[str, Tensor]
) -> nn.Module:
    """A deep copy in which ``make(name, tensor)`` stands for each owned tensor.

    Parameters become parameters again and keep ``requires_grad``. What cannot be copied (locks,
    custom operators, open files) is shared.

    Raises:
        UnsupportedNetworkError: if the network cannot be copied even so.
    """
    memo: dict[int, object] = {}
    for name, tensor in owned.items():
        made = make(name, tensor)
        if isinstance(tensor, nn.Parameter) and made is not tensor:
            made = nn.Parameter(made, requires_grad=tensor.requires_grad)
        memo[id(tensor)] = made
    for module in network.modules():  # most of a copy's time goes into empty tables of hooks
        memo.update(
            {id(v): type(v)() for v in vars(module).values() if type(v) is OrderedDict and not v}
        )
    try:
        return copy.deepcopy(network, dict(memo))
    except Exception:  # noqa: BLE001 - whatever an attribute's own way of being copied raises
        memo.update(_uncopyable(network, memo))
    try:
        return copy.deepcopy(network, memo)
    except Exception as error:
        raise UnsupportedNetworkError(
            f"{type(network).__name__} cannot be copied by copy.deepcopy: "
            f"{type(error).__name__}: {error}"
        ) from error


def _uncopyable(network: nn.Module, memo: Mapping[int, object]) -> dict[int, object]:
    """The attributes that cannot be copied, by their ids."""
    found: dict[int, object] = {}
    own = vars(nn.Module()).keys()
    for module in network.modules():
        for name, value in vars(module).items():
            if name in own or isinstance(value, nn.Module):
                continue
            try:
                copy.deepcopy(value, dict(memo))
            except Exception:  # noqa: BLE001 - see above; once for a structure
                found[id(value)] = value
    return found
