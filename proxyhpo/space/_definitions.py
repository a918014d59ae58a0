"""The entries of a space by name: checking them, and reading them from JSON."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from proxyhpo.errors import SpaceError, unknown_name
from proxyhpo.space._choice import CONDITIONAL, Choice, definition_in
from proxyhpo.space._hyperparameter import Hyperparameter
from proxyhpo.space._real import Float
from proxyhpo.space._values import is_plain, python_value
from proxyhpo.space._whole import Int

__all__ = ["checked", "from_json"]

_TYPES: dict[str, type[Any]] = {"float": Float, "int": Int, "choice": Choice}


def checked(name: object, given: object) -> Any:
    """The definition; a constant becomes a choice with one option.

    Raises:
        SpaceError: for anything else; names it.
    """
    if type(name) is not str or not name:
        raise SpaceError(f"the name of a hyperparameter must be a str, got {name!r}")
    try:
        return given if isinstance(given, Hyperparameter) else _constant(given)
    except SpaceError as error:
        raise SpaceError(f"hyperparameter {name!r}: {error}") from None


def from_json(name: str, data: Mapping[str, Any], objects: Mapping[str, Any] | None) -> object:
    """The definition or constant that ``data`` describes.

    Args:
        name: of the hyperparameter.
        data: its type and arguments.
        objects: label → object, to replace the labels.

    Raises:
        SpaceError: if ``data`` is invalid, or the labels do not match.
    """
    arguments = dict(data)
    kind = arguments.pop("type", None)
    if kind == "constant" and "value" in arguments:
        return arguments["value"]
    if arguments.get("when") is not None:
        arguments["when"] = tuple(arguments["when"])
    if objects is not None:
        labels = arguments.get("options", [])
        if set(labels) != set(objects):
            raise SpaceError(f"objects: {name!r} must have labels {labels}, got {list(objects)}")
        arguments["options"] = {label: objects[label] for label in labels}
    try:
        return _TYPES[kind](**arguments)
    except KeyError:
        raise SpaceError(f"{name!r}: {unknown_name('type', kind, _TYPES)}") from None
    except SpaceError as error:
        raise SpaceError(f"{name!r}: not the data of a {kind}: {error}") from error


def _constant(given: object) -> Choice:
    if inner := definition_in(given):
        raise SpaceError(
            f"it contains a {type(inner).__name__}, but a space is not nested. {CONDITIONAL}"
        )
    if isinstance(given, (list, tuple, dict, set, range)):
        raise SpaceError(
            f"a constant must be one plain value; use Choice({given!r}) for options{_range(given)}"
        )
    if not is_plain(python_value(given)):
        raise SpaceError(
            f"{given!r} is not a Float, an Int, a Choice or a plain value (None, bool, finite "
            "number, str)"
        )
    return Choice([given])


def _range(given: Collection[object]) -> str:
    """The definition of the range between two numbers, for a message; empty for anything else."""
    numbers = [n for n in map(python_value, given) if type(n) in {int, float} and is_plain(n)]
    if not isinstance(given, (list, tuple)) or len(given) != 2 or len(numbers) != 2:
        return ""
    kind = Int if all(type(number) is int for number in numbers) else Float
    low, high = sorted(numbers)
    return f", or {kind.__name__}({low!r}, {high!r}) for a range"
