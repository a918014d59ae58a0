"""Copies of a network whose tensors are replaced.

A copy shares only the tensors that are passed in, and needs no second set of weights. Ties, hooks,
parametrizations and modes are kept, since :func:`copy.deepcopy` copies everything but the tensors.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from proxyhpo.channels.find.rebinding import rebind
from proxyhpo.errors import UnsupportedNetworkError

__all__ = ["cloned", "copied", "copy_with", "owned_tensors", "refuse", "spare", "unwrap"]


def unwrap(network: nn.Module) -> nn.Module:
    """The user's network inside ``torch.compile``, DataParallel or DistributedDataParallel."""
    if isinstance(network, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
        return unwrap(network.module)
    inside = getattr(network, "_orig_mod", None)  # attribute of torch.compile's wrapper
    return unwrap(inside) if isinstance(inside, nn.Module) else network


def refuse(network: nn.Module) -> None:
    """Raises an error for modules that cannot be traced.

    Raises:
        UnsupportedNetworkError: names the module and its type.
    """
    for name, module in network.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            raise UnsupportedNetworkError(
                f"module {name!r} ({type(module).__name__}) is compiled by TorchScript, which "
                "fixes its sizes: pass the module that was scripted or traced"
            )
        for part in (*module._parameters, *module._buffers, *module._modules):  # noqa: SLF001 - named_parameters may be what is hidden
            if part in _METHODS:
                raise UnsupportedNetworkError(
                    f"module {name!r} ({type(module).__name__}) has a part named {part!r}, which "
                    f"hides the method {part} of nn.Module: rename it"
                )
    for name, tensor in owned_tensors(network).items():
        if is_lazy(tensor):
            module = network.get_submodule(name.rpartition(".")[0])  # only parameters are lazy
            raise UnsupportedNetworkError(
                f"parameter {name!r} of a {type(module).__name__} has no shape yet: run the "
                "network once on a batch before passing it"
            )


_METHODS = frozenset(name for name in dir(nn.Module) if callable(getattr(nn.Module, name)))


def owned_tensors(network: nn.Module) -> dict[str, Tensor]:
    """Every parameter, buffer and plain tensor attribute, each once, under its first name.

    Tensors in lists, tuples and dicts are included, as ``masks.0`` or ``scales.fine``.
    """
    found: dict[str, Tensor] = dict(network.named_parameters())
    found.update(network.named_buffers())
    seen = {id(tensor) for tensor in found.values()}
    for prefix, module in network.named_modules():
        for attribute, value in vars(module).items():
            if attribute in _PRIVATE:
                continue
            for name, tensor in _named_tensors(value, attribute, depth=2):
                if id(tensor) not in seen:
                    seen.add(id(tensor))
                    found[f"{prefix}.{name}" if prefix else name] = tensor
    return found


_PRIVATE = frozenset(vars(nn.Module()))
"""The attributes in which torch keeps parameters, buffers, modules and hooks."""


def _named_tensors(value: Any, name: str, depth: int) -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        yield name, value
    elif depth and isinstance(value, (list, tuple, dict)):
        entries = value.items() if isinstance(value, dict) else enumerate(value)
        for key, part in entries:
            yield from _named_tensors(part, f"{name}.{key}", depth - 1)


def spare(tensor: Tensor) -> Tensor:
    """A copy-on-write clone, which takes no memory until it or the original is written to."""
    source = tensor.detach()
    if type(source) is Tensor and source.layout is torch.strided and not source.is_meta:
        try:
            return torch._lazy_clone(source)  # noqa: SLF001 - torch's copy on write has no other name
        except RuntimeError:  # memory that torch does not own, such as a NumPy array
            return source.clone()
    return source.clone()


def copied(network: nn.Module) -> nn.Module:
    """A copy that may be run and modified without affecting the network.

    Raises:
        UnsupportedNetworkError: if the network cannot be copied.
    """
    return copy_with(network, lambda _, tensor: spare(tensor), owned_tensors(network))


def cloned(network: nn.Module) -> nn.Module:
    """A permanent copy, which has its own memory from the start.

    Raises:
        UnsupportedNetworkError: if the network cannot be copied.
    """
    return copy_with(network, lambda _, tensor: tensor.detach().clone(), owned_tensors(network))


def copy_with(
    network: nn.Module, make: Callable[[str, Tensor], Tensor], owned: Mapping[str, Tensor]
) -> nn.Module:
    """A deep copy in which ``make(name, tensor)`` replaces each owned tensor.

    Parameters stay parameters and keep ``requires_grad``. Functions that refer to the network, such
    as hooks, refer to the copy. Objects that cannot be copied (locks, custom operators, open files)
    are shared.

    Raises:
        UnsupportedNetworkError: if the network cannot be copied, or a function refers to it through
            a global variable.
    """
    memo: dict[int, Any] = {}
    for name, tensor in owned.items():
        made = make(name, tensor)
        if made is not tensor and isinstance(tensor, nn.Parameter):
            made = nn.Parameter(made, requires_grad=tensor.requires_grad)
        elif made is not tensor and tensor.is_leaf and tensor.requires_grad:
            made.requires_grad_()
        memo[id(tensor)] = made
    for module in network.modules():  # copying empty hook tables takes most of the time
        memo.update(
            {id(v): type(v)() for v in vars(module).values() if type(v) is OrderedDict and not v}
        )
    obstacles: Sequence[Callable[[], Mapping[int, object]]] = (
        dict,
        lambda: _graph_tensors(network),
        lambda: _uncopyable(network, memo),
    )
    for found in obstacles:
        memo = {**found(), **memo}
        try:
            return _copied(network, dict(memo))
        except UnsupportedNetworkError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever an attribute's own way of being copied raises
            failure = error
    raise UnsupportedNetworkError(
        f"{type(network).__name__} cannot be copied by copy.deepcopy: "
        f"{type(failure).__name__}: {failure}"
    ) from failure


def _copied(network: nn.Module, memo: dict[int, Any]) -> nn.Module:
    made = copy.deepcopy(network, memo)
    rebind(network, made, memo)
    return made


def _graph_tensors(network: nn.Module) -> dict[int, object]:
    """Tensors with autograd history left by a forward pass, which deepcopy refuses to copy."""
    return {
        id(tensor): tensor.detach().clone()
        for module in network.modules()
        for value in vars(module).values()
        for tensor in _tensors(value, depth=4)
        if not tensor.is_leaf
    }


def _tensors(value: Any, depth: int) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif depth == 0 or isinstance(value, (nn.Module, type)):
        return
    elif isinstance(value, (list, tuple, set)):
        for part in value:
            yield from _tensors(part, depth - 1)
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _tensors(part, depth - 1)
    elif hasattr(value, "__dict__"):
        for part in vars(value).values():
            yield from _tensors(part, depth - 1)


def _uncopyable(network: nn.Module, memo: Mapping[int, object]) -> dict[int, object]:
    """The attributes that cannot be copied, by id."""
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
