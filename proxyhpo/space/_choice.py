"""One of several options."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np
from typing_extensions import override

from proxyhpo.errors import ConfigError, SpaceError
from proxyhpo.space._checks import checked_condition, explained
from proxyhpo.space._hyperparameter import Hyperparameter
from proxyhpo.space._values import (
    bin_centre,
    copied,
    find,
    in_bin,
    is_number,
    is_plain,
    python_value,
)

__all__ = ["CONDITIONAL", "Choice", "definition_in"]


@final
@explained("Choice([16, 32, 64])")
@dataclass(frozen=True, repr=False, eq=False)
class Choice(Hyperparameter):
    """One of several options, unordered.

    Args:
        options: a list of plain values (None, bool, int, float, str; 1, 1.0 and True are three
            different options), or a mapping from labels to objects of any kind. A config then
            contains the label, and ``build`` and ``train`` receive the object.
        when: (name, value) or (name, [values]): active only if that other hyperparameter has (one
            of) these values.

    Raises:
        SpaceError: names the argument that is invalid.

    >>> Choice({"relu": max, "linear": sum}).values
    ('relu', 'linear')
    """

    options: Sequence[Any] | Mapping[str, Any]
    when: tuple[str, Any] | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        options: Any = self.options
        if isinstance(options, Mapping):
            options = dict(options)
            _check_objects(options)
        elif isinstance(options, (list, tuple, range, np.ndarray)):
            options = tuple(map(python_value, options))
            _check_plain_values(options)
        if not isinstance(options, (tuple, dict)) or not options:
            raise SpaceError(
                "options must be a list of plain values or a mapping from labels to objects, and "
                f"not empty, got {self.options!r}"
            )
        self._set(options=options, when=checked_condition(self.when))

    @property
    @override
    def values(self) -> Sequence[Any]:
        return tuple(self.options)

    @property
    @override
    def allowed(self) -> str:
        return "one of " + ", ".join(map(repr, self.options))

    @override
    def encode(self, value: object) -> float:
        return bin_centre(self.values, value)

    @override
    def decode(self, fraction: float) -> Any:
        return in_bin(self.values, fraction)

    @override
    def canonical(self, value: object) -> Any:
        given = python_value(value)
        if find(self.values, given) is not None:
            return given
        alike = [v for v in self.values if is_number(v) and is_number(given) and v == given]
        if not alike:
            raise ConfigError(f"must be {self.allowed}, got {given!r}")
        return alike[0]

    def resolve(self, value: Any) -> Any:
        """The object of a label; a plain value is returned unchanged.

        The object is a copy, if it can be copied, so that changes made by one ``build`` or
        ``train`` do not affect the next.
        """
        return copied(self.options[value]) if isinstance(self.options, dict) else value

    @override
    def to_json(self) -> dict[str, Any]:
        return {"type": "choice", "options": list(self.options), "when": self.when}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Choice) and self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash(self._identity())

    def _identity(self) -> tuple[object, ...]:
        objects = self.options.values() if isinstance(self.options, dict) else ()
        typed = tuple((type(option), option) for option in self.options)
        return typed, tuple(map(id, objects)), self.when


def _check_objects(options: Mapping[Any, Any]) -> None:
    for label, option in options.items():
        if type(label) is not str:
            raise SpaceError(f"a label must be a str, got {label!r}")
        if inner := definition_in(option):
            raise SpaceError(
                f"the option {label!r} is a {type(inner).__name__}: a choice cannot contain "
                f"hyperparameters. {CONDITIONAL}"
            )


def definition_in(option: object) -> Hyperparameter | None:
    """A hyperparameter given in place of an object, directly or in a container; None if none."""
    if isinstance(option, Hyperparameter):
        return option
    parts: Iterable[object] = ()
    if isinstance(option, Mapping):
        parts = option.values()
    elif isinstance(option, (list, tuple)):
        parts = option
    return next((inner for part in parts if (inner := definition_in(part))), None)


CONDITIONAL = (
    "Define it beside the choice under its own name, and use when= for the condition: "
    "{'optimizer': Choice(['adam', 'sgd']), 'momentum': Float(0, 0.9, when=('optimizer', 'sgd'))}"
)


def _check_plain_values(values: Iterable[object]) -> None:
    seen = set()
    for value in values:
        if inner := definition_in(value):
            raise SpaceError(
                f"an option is a {type(inner).__name__}: a choice cannot contain hyperparameters. "
                f"{CONDITIONAL}"
            )
        if not is_plain(value):
            raise SpaceError(
                f"{value!r} is not a plain value (None, bool, finite number, str); give objects "
                "labels, such as Choice({'relu': nn.ReLU, 'gelu': nn.GELU})"
            )
        if (type(value), value) in seen:
            raise SpaceError(f"the option {value!r} occurs twice")
        seen.add((type(value), value))
