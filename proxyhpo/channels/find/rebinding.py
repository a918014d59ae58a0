"""Functions in a copied network that still refer to the original, bound to the copy instead.

:func:`copy.deepcopy` shares functions and weak references. A hook such as ``lambda module, inputs,
output: self.features.append(output)`` would therefore write to the original network whenever the
copy runs.
"""

from __future__ import annotations

import copy
import functools
import types
import weakref
from collections.abc import Iterator, Mapping
from typing import Any

from torch import nn

from proxyhpo.errors import UnsupportedNetworkError

__all__ = ["rebind"]

_DEPTH = 3  # hook tables, and functions in lists or partials within them


def rebind(network: nn.Module, copied: nn.Module, memo: dict[int, Any]) -> None:
    """Replaces functions and weak references in ``copied`` that lead to parts of ``network``.

    Args:
        network: the original.
        copied: its deep copy; changed in place.
        memo: filled by ``copy.deepcopy``: id of an original object → its copy.

    Raises:
        UnsupportedNetworkError: for a function that uses the original through a global variable,
            which cannot be replaced in a copy.
    """
    twins = {id(one): twin for one, twin in zip(network.modules(), copied.modules(), strict=True)}
    rebound = _Rebound({**memo, **twins}, twins)
    for name, module in copied.named_modules():
        for attribute, value in list(vars(module).items()):
            if attribute not in _NO_FUNCTIONS and isinstance(value, _CARRIERS):
                rebound.place = f"{attribute!r} of module {name!r} ({type(module).__name__})"
                vars(module)[attribute] = rebound(value, _DEPTH)


_NO_FUNCTIONS = ("_parameters", "_buffers", "_modules")  # long tables that contain none
_CARRIERS = (types.FunctionType, functools.partial, weakref.ref, list, tuple, dict)


class _Rebound:
    """Returns the copy's version of a value, or the value itself if it needs none."""

    def __init__(self, memo: dict[int, Any], twins: Mapping[int, nn.Module]) -> None:
        self._memo, self._twins = memo, twins
        self._done: dict[int, types.FunctionType] = {}
        self.place = ""

    def __call__(self, value: Any, depth: int) -> Any:
        if isinstance(value, types.FunctionType):
            return self._function(value)
        if isinstance(value, weakref.ref):
            return self._reference(value)
        if depth == 0 or isinstance(value, nn.Module):
            return value
        if isinstance(value, functools.partial):
            return functools.partial(self(value.func, depth - 1), *value.args, **value.keywords)
        if type(value) is tuple:
            return tuple(self(part, depth - 1) for part in value)
        if isinstance(value, (dict, list)):  # these belong to the copy, so change them in place
            entries = value.items() if isinstance(value, dict) else enumerate(value)
            for key, part in list(entries):
                value[key] = self(part, depth - 1)
        elif isinstance(getattr(value, "hook", None), types.FunctionType):  # torch's _WrappedHook
            value.hook = self._function(value.hook)
        return value

    def _function(self, function: types.FunctionType) -> types.FunctionType:
        """The function with the original replaced by the copy in its closure and defaults."""
        if id(function) in self._done:
            return self._done[id(function)]
        self._check_globals(function)
        self._done[id(function)] = function  # a function may be in its own closure
        cells = tuple(map(self._cell, function.__closure__ or ()))
        defaults = {k: self._twin(v) for k, v in (function.__kwdefaults__ or {}).items()}
        positional = tuple(map(self._twin, function.__defaults__ or ()))
        kept = (*(function.__closure__ or ()), *(function.__defaults__ or ()))
        keywords = (function.__kwdefaults__ or {}).values()
        if all(
            one is other
            for one, other in zip(
                (*cells, *positional, *defaults.values()), (*kept, *keywords), strict=True
            )
        ):
            return function
        rebound = types.FunctionType(
            function.__code__, function.__globals__, function.__name__, positional or None, cells
        )
        rebound.__kwdefaults__ = defaults or None
        rebound.__dict__.update(function.__dict__)
        self._done[id(function)] = rebound
        return rebound

    def _cell(self, cell: types.CellType) -> types.CellType:
        try:
            content = cell.cell_contents
        except ValueError:  # an empty cell
            return cell
        twin = self._twin(content)
        return cell if twin is content else types.CellType(twin)

    def _twin(self, value: Any) -> Any:
        """The copy of a value that is a part of the network, or that contains one."""
        if id(value) in self._memo:
            return self._memo[id(value)]
        if isinstance(value, types.FunctionType):
            return self._function(value)
        if isinstance(value, weakref.ref):
            return self._reference(value)
        if any(id(part) in self._twins for part in _parts(value)):
            return copy.deepcopy(value, self._memo)
        return value

    def _reference(self, reference: weakref.ref[Any]) -> weakref.ref[Any]:
        twin = self._twins.get(id(reference()))
        return reference if twin is None else weakref.ref(twin)

    def _check_globals(self, function: types.FunctionType) -> None:
        for name in _names(function.__code__):
            value = function.__globals__.get(name)
            if isinstance(value, nn.Module) and id(value) in self._twins:
                raise UnsupportedNetworkError(
                    f"{function.__qualname__} in {self.place} refers to the network through the "
                    f"global variable {name!r}, so a copy of the network would still use the "
                    "original: use the module that the function is given, or define the function "
                    "where the network is a local variable"
                )


def _parts(value: Any) -> Iterator[Any]:
    """The direct contents of a container or of a plain user object."""
    if isinstance(value, (list, tuple, set)):
        yield from value
    elif isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, types.MethodType):
        yield value.__self__
    elif hasattr(value, "__dict__") and not isinstance(value, (type, types.ModuleType)):
        yield from vars(value).values()


def _names(code: types.CodeType) -> Iterator[str]:
    """The global names that a function uses, including those of nested functions."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)
