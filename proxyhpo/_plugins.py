"""Finds plug-ins by name.

A plug-in is an entry point of an installed distribution, in one of these groups. The built-ins are
registered in the same way::

    proxyhpo.pruners         proxyhpo.searchers       proxyhpo.transfers
    proxyhpo.stoppers        proxyhpo.operator_rules

Evaluators have no names: each needs data or a function, so an instance must be given.

Nothing is imported until it is requested by name, so a broken plug-in, or a duplicate name, does
not affect others.
"""

from __future__ import annotations

import inspect
import sys
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal, TypeVar

from proxyhpo.errors import ArgumentError, PluginError, unknown_name
from proxyhpo.stoppers import Stopper

__all__ = ["PluginGroup", "load", "names", "public_path", "resolve"]

T = TypeVar("T")

PluginGroup = Literal[
    "proxyhpo.pruners",
    "proxyhpo.searchers",
    "proxyhpo.transfers",
    "proxyhpo.stoppers",
    "proxyhpo.operator_rules",
]

_WORDS: dict[str, str] = {
    "proxyhpo.pruners": "pruner",
    "proxyhpo.searchers": "searcher",
    "proxyhpo.transfers": "transfer",
    "proxyhpo.stoppers": "stopper",
    "proxyhpo.operator_rules": "operator rule",
}


def names(group: PluginGroup) -> list[str]:
    """The names in a group, sorted, including those of broken plug-ins.

    >>> "tpe" in names("proxyhpo.searchers")
    True
    """
    return sorted(_found(group))


def load(group: PluginGroup, name: str) -> Any:
    """What the entry point ``name`` of a group refers to: a class, or a function for a rule.

    Raises:
        UnknownNameError: if no distribution provides the name.
        PluginError: if it cannot be imported, or if several distributions provide the name.
    """
    found = _found(group)
    if name not in found:
        raise unknown_name(_WORDS[group], name, found, hint=_elsewhere(name))
    if len(found[name]) > 1:
        claims = "; ".join(f"{_distribution(point)} ({point.value})" for point in found[name])
        raise PluginError(
            f"{_WORDS[group]} {name!r} is provided by {len(found[name])} distributions: {claims}. "
            "Uninstall all but one, or pass an instance instead of the name."
        )
    [point] = found[name]
    try:
        return point.load()
    except (Exception, SystemExit) as error:  # a script without a guard exits when it is imported
        raise PluginError(
            f"{_origin(group, point)} cannot be loaded: {type(error).__name__}: {error}"
        ) from error


def resolve(
    group: PluginGroup, given: object, interface: type[T], *, argument: str | None = None
) -> T:
    """The strategy that an argument stands for.

    Args:
        group: where a name is looked up.
        given: a name, which is loaded and built with no arguments; or an instance of the
            interface, which is used as it is.
        interface: the base class that the strategy must have.
        argument: its name in errors; by default the group's word ("pruner").

    Raises:
        TypeError: for anything else. The message says so if a class was not instantiated, or if a
            stopper (or an Optuna pruner) was given as a pruner.
        ArgumentError: for a name whose class cannot be built without arguments.
        UnknownNameError: see :func:`load`.
        PluginError: see :func:`load`; also if the plug-in does not implement the interface.
    """
    if isinstance(given, interface):
        return given
    if isinstance(given, str):
        return _built(given, _loaded_class(group, given, interface))
    raise TypeError(_refusal(group, argument or _WORDS[group], given, interface))


def public_path(kind: type) -> str:
    """The path from which users import a class, without private modules.

    >>> from proxyhpo.searchers import TPESearcher
    >>> public_path(TPESearcher)
    'proxyhpo.searchers.TPESearcher'
    """
    parts = [part for part in kind.__module__.split(".") if not part.startswith("_")]
    return ".".join([*parts, kind.__qualname__])


def _loaded_class(group: PluginGroup, name: str, interface: type[T]) -> type[T]:
    loaded = load(group, name)
    if not (isinstance(loaded, type) and issubclass(loaded, interface)):
        [point] = _found(group)[name]
        raise PluginError(
            f"{_origin(group, point)} must be a subclass of "
            f"{public_path(interface)}, found {loaded!r}"
        )
    if inspect.isabstract(loaded):
        [point] = _found(group)[name]
        missing = ", ".join(sorted(getattr(loaded, "__abstractmethods__", ())))
        raise PluginError(f"{_origin(group, point)} is abstract: it does not implement {missing}")
    return loaded


def _built(name: str, strategy: type[T]) -> T:
    signature = inspect.signature(strategy)
    try:
        signature.bind()
    except TypeError as error:
        raise ArgumentError(
            f"{name!r} cannot be built without arguments ({error}): pass an instance, "
            f"{strategy.__name__}{signature.replace(return_annotation=signature.empty)}"
        ) from None
    return strategy()


def _refusal(group: PluginGroup, word: str, given: object, interface: type) -> str:
    allowed = f"a name or an instance of {public_path(interface)}"
    cls = given if isinstance(given, type) else type(given)
    is_optunas = any(base.__module__.split(".")[0] == "optuna" for base in cls.__mro__)
    if group == "proxyhpo.pruners" and (is_optunas or issubclass(cls, Stopper)):
        kind = "an Optuna pruner" if is_optunas else "a stopper"
        return (
            f"{word}={given!r} is {kind}, which ends trials early: use stopper= for that. A "
            f"pruner here prunes networks: {allowed}"
        )
    if group == "proxyhpo.stoppers" and is_optunas:
        known = ", ".join(map(repr, names(group)))
        return (
            f"{word}={given!r} belongs to Optuna and only works in Optuna's studies. Allowed names "
            f"are {known}; {word} must be {allowed}"
        )
    if group == "proxyhpo.searchers" and is_optunas:
        return (
            f"{word}={cls.__name__} belongs to Optuna: pass its class to an OptunaSearcher, "
            f"{word}=proxyhpo.integrations.optuna.OptunaSearcher({cls.__name__}); or pass {allowed}"
        )
    if isinstance(given, type) and issubclass(given, interface):
        return f"{word}={given.__name__} is a class: pass an instance, such as {given.__name__}()"
    return f"{word} must be {allowed}, got {given!r}"


def _elsewhere(name: str) -> str:
    """Where a name belongs that is unknown in one group; empty if it is unknown in all of them."""
    words = [
        word
        for group, word in _WORDS.items()
        if group != "proxyhpo.operator_rules" and name in _found(group)
    ]
    kinds = " and ".join(f"a {word} ({word}={name!r})" for word in words)
    return kinds and f"it is the name of {kinds}."


def _found(group: str) -> dict[str, list[EntryPoint]]:
    if group not in _WORDS:
        raise unknown_name("plug-in group", group, _WORDS)
    return _read(group, tuple(sys.path))


@lru_cache(maxsize=len(_WORDS))
def _read(group: str, path: tuple[str, ...]) -> dict[str, list[EntryPoint]]:  # noqa: ARG001 - part of the key: another sys.path shows other distributions
    """Name → entry points; cached, since reading those of every distribution takes a while."""
    found: dict[str, list[EntryPoint]] = {}
    for point in entry_points(group=group):
        found.setdefault(point.name, []).append(point)
    return found


def _distribution(point: EntryPoint) -> str:
    if point.dist is None:  # pragma: no cover - only for entry points created by hand
        return "an unknown distribution"
    return f"{point.dist.metadata['Name']} {point.dist.version}"


def _origin(group: str, point: EntryPoint) -> str:
    return (
        f"{_WORDS[group]} {point.name!r} (entry point {point.value!r} in group {group!r} of "
        f"{_distribution(point)})"
    )
