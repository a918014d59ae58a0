"""Checks of the fields of stored data, since a file may come from an untrusted source."""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, asdict, fields
from functools import cache
from numbers import Integral, Real
from typing import Any, ClassVar, NamedTuple

from typing_extensions import Self

from proxyhpo._validation import is_real
from proxyhpo.errors import ArgumentError

__all__ = [
    "LARGEST_EXPONENT",
    "MALFORMED",
    "Kind",
    "Stored",
    "check_fields",
    "nested",
    "one_of",
    "optional",
]

MALFORMED = (
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,  # ArgumentError is one
)
"""The errors that reading data of the wrong form may raise."""

LARGEST_EXPONENT = 50.0
"""Largest absolute exponent of a width ratio, so that the smallest ratio stays finite."""


class Kind(NamedTuple):
    """What a field may contain: a test, its description, and how it is read from JSON."""

    allows: Callable[[Any], bool]
    words: str
    read: Callable[[Any], Any] = lambda value: _tuples(value)  # noqa: PLW0108 - defined below


def check_fields(
    what: str, data: Mapping[str, Any], kinds: Mapping[str, Kind], *, required: Sequence[str]
) -> None:
    """Checks that no field of the data is unknown, missing or of the wrong kind.

    >>> check_fields("a record", {"trial": "3"}, {"trial": COUNT}, required=["trial"])
    Traceback (most recent call last):
    proxyhpo.errors.ArgumentError: a record's trial must be a whole number in [0, 2**63), got '3'

    Args:
        what: description of the data, for messages.
        data: name → value.
        kinds: name → what it may contain.
        required: names that must be present.

    Raises:
        ArgumentError: names the field.
    """
    if unknown := sorted(data.keys() - kinds.keys(), key=str):
        raise ArgumentError(f"{what} has unknown fields {unknown}")
    if missing := [name for name in required if name not in data]:
        raise ArgumentError(f"{what} lacks the fields {missing}")
    for name, value in data.items():
        if not kinds[name].allows(value):
            raise ArgumentError(f"{what}'s {name} must be {kinds[name].words}, got {value!r:.80}")


class Stored(ABC):
    """Data that is written to a store and read back; each kind is a dataclass.

    ``WHAT`` names it in messages, and ``KINDS`` says what each field may contain.
    """

    WHAT: ClassVar[str]
    KINDS: ClassVar[Mapping[str, Kind]]

    def to_json(self) -> dict[str, Any]:
        """The data as plain JSON data."""
        data: dict[str, Any] = asdict(self)  # type: ignore[call-overload]  # a dataclass
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`to_json`.

        Raises:
            ArgumentError: names the field that is unknown, missing or invalid.
        """
        check_fields(cls.WHAT, data, cls.KINDS, required=_required(cls))
        cls.check(data)
        return cls(**{name: cls.KINDS[name].read(value) for name, value in data.items()})

    @classmethod  # noqa: B027 - most kinds have nothing to add
    def check(cls, data: Mapping[str, Any]) -> None:
        """Checks fields that are valid separately, but not together."""


@cache
def _required(kind: type[Stored]) -> list[str]:
    return [
        f.name
        for f in fields(kind)  # type: ignore[arg-type]  # a dataclass
        if f.default is MISSING and f.default_factory is MISSING
    ]


def _tuples(value: Any) -> Any:
    """Converts JSON's lists back to tuples."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def optional(kind: Kind) -> Kind:
    """The same, or None."""
    return Kind(
        lambda value: value is None or kind.allows(value),
        f"{kind.words}, or None",
        lambda value: None if value is None else kind.read(value),
    )


def nested(kind: type[Stored]) -> Kind:
    """Data that is itself :class:`Stored`; its content is checked when it is read."""
    return Kind(lambda value: isinstance(value, Mapping), kind.WHAT, kind.from_json)


def one_of(*values: str) -> Kind:
    """One of these strings."""
    return Kind(lambda value: value in values, f"one of {list(values)}")


# Concrete types come first, since checks against abstract types are much slower.
def _is_number(value: object) -> bool:
    """Like :func:`is_real`, but including infinity and NaN."""
    return is_real(value) or (isinstance(value, (float, Real)) and not isinstance(value, int))


def _is_count(value: object) -> bool:
    whole = isinstance(value, (int, Integral)) and not isinstance(value, bool)
    return whole and 0 <= int(value) < 2**63  # type: ignore[call-overload]  # it is whole


def _is_named(value: object, allows: Callable[[Any], bool] | None = None) -> bool:
    return (
        isinstance(value, (dict, Mapping))
        and all(isinstance(name, str) for name in value)
        and (allows is None or all(map(allows, value.values())))
    )


def _is_sequence(value: object, allows: Callable[[Any], bool]) -> bool:
    return isinstance(value, (list, tuple)) and all(map(allows, value))


def _is_pair(value: object) -> bool:
    return _is_sequence(value, lambda item: isinstance(item, str)) and len(value) == 2  # type: ignore[arg-type]  # a sequence


def _is_report(value: object) -> bool:
    return (
        isinstance(value, dict)
        and value.keys() == {"value", "metrics"}
        and _is_number(value["value"])
        and _is_named(value["metrics"], _is_number)
    )


def _within(low: float, high: float) -> Kind:
    return Kind(lambda value: is_real(value) and low <= value <= high, f"in [{low:g}, {high:g}]")


TEXT = Kind(lambda value: isinstance(value, str), "text")
COUNT = Kind(_is_count, "a whole number in [0, 2**63)")  # larger ones may not fit into a float
REAL = Kind(is_real, "a finite number")
# Far beyond real values, but small enough to be summed and divided by each other.
SECONDS = _within(0, 1e15)
STEP_SECONDS = _within(1e-12, 1e15)
WIDTH_RATIO = _within(1e-6, 1)
EXPONENT = _within(-LARGEST_EXPONENT, LARGEST_EXPONENT)
SCALE = _within(0, 1e15)
FRACTION = Kind(lambda value: is_real(value) and 0 < value <= 1, "a number in (0, 1]")
CONFIG = Kind(_is_named, "a mapping from names")
REPORTS = Kind(lambda value: _is_sequence(value, _is_report), "a list of values with metrics")
EXPONENTS = Kind(
    lambda value: _is_named(value, EXPONENT.allows),
    f"a mapping from names to numbers {EXPONENT.words}",
)
TEXTS = Kind(
    lambda value: _is_sequence(value, lambda item: isinstance(item, str)), "a list of texts"
)
PAIRS = Kind(lambda value: _is_sequence(value, _is_pair), "a list of pairs of texts")
