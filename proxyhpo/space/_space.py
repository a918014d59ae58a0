"""The space of hyperparameters: which configs are valid, and where they lie in the unit cube.

A space is a mapping from names to :class:`Float`, :class:`Int`, :class:`Choice` or constants.
Sampling, checking and encoding into the unit cube are implemented here once, for all searchers.

Conditions (``when=``) form a tree: each hyperparameter depends on at most one other, and is absent
from a config in which that one has another value. In the cube it then lies at the centre, so that
a surrogate sees no differences along its axis.

The order in which a space is written only determines the order in which configs are shown.
``names``, and thus the configs of a study, do not depend on it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from typing import Any, final

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from proxyhpo._records.records import Config
from proxyhpo.errors import ArgumentError, ConfigError, SpaceError, unknown_name
from proxyhpo.space._choice import Choice
from proxyhpo.space._definitions import checked, from_json
from proxyhpo.space._hyperparameter import Hyperparameter
from proxyhpo.space._lattice import Lattice
from proxyhpo.space._real import Float
from proxyhpo.space._values import find
from proxyhpo.space._whole import Int

__all__ = ["Choice", "Float", "Int", "Space"]


@final
class Space(Mapping[str, Any]):
    """Hyperparameters by name; read-only.

    Args:
        hyperparameters: name → :class:`Float`, :class:`Int`, :class:`Choice`, or a plain value,
            which is a constant and part of every config.

    Raises:
        SpaceError: names the hyperparameter that is badly defined, and the reason.

    >>> space = Space({
    ...     "optimizer": Choice(["adam", "sgd"]),
    ...     "momentum": Float(0, 0.9, when=("optimizer", "sgd")),
    ...     "epochs": 10,
    ... })
    >>> space.decode([0.2, 0.5])
    {'optimizer': 'adam', 'epochs': 10}
    >>> space.decode([0.8, 0.5])
    {'optimizer': 'sgd', 'momentum': 0.45, 'epochs': 10}
    """

    def __init__(self, hyperparameters: Mapping[str, object]) -> None:
        if not isinstance(hyperparameters, Mapping):
            raise SpaceError(
                "a space must be a mapping from names to Float, Int, Choice or constants, "
                f"got {hyperparameters!r}"
            )
        # A constant is a choice with one option that is not searched.
        self._domains = {name: checked(name, given) for name, given in hyperparameters.items()}
        self._constants = {
            name: self._domains[name].values[0]
            for name, given in hyperparameters.items()
            if not isinstance(given, Hyperparameter)
        }
        for name, domain in self._domains.items():
            if domain.when is not None:
                self._domains[name] = replace(domain, when=self._condition(name, *domain.when))
        self._order = self._sorted_names()
        if not self.names:
            raise SpaceError("the space is empty: there is no hyperparameter to search")

    @override
    def __getitem__(self, name: str) -> Any:
        return self._constants[name] if name in self._constants else self._domains[name]

    @override
    def __iter__(self) -> Iterator[str]:
        return iter(self._domains)

    @override
    def __len__(self) -> int:
        return len(self._domains)

    def __repr__(self) -> str:
        return f"Space({dict(self)!r})"

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The searchable names, alphabetically, but each after the one that it depends on.

        This is the order of the cube's axes.
        """
        return tuple(name for name in self._order if name not in self._constants)

    @cached_property
    def size(self) -> float:
        """The number of distinct configs: an int, or ``math.inf``.

        >>> Space({"a": Choice([1, 2]), "b": Int(1, 9, when=("a", 2))}).size
        10
        """
        if any(self[name].values is None for name in self.names):
            return math.inf
        return Lattice(self).size

    def parent(self, name: str) -> str | None:
        """The hyperparameter or constant on which this one depends, or None."""
        when = self._domains[name].when
        return None if when is None else when[0]

    def is_active(self, name: str, config: Mapping[str, Any]) -> bool:
        """Whether a hyperparameter is part of this config.

        Args:
            name: of a hyperparameter or constant of the space.
            config: a valid config, or the part of it on which ``name`` depends.
        """
        if name not in self._domains:
            raise unknown_name("hyperparameter", name, self)
        when = self._domains[name].when
        if when is None:
            return True
        parent, values = when
        return parent in config and find(values, config[parent]) is not None

    def sample(self, rng: np.random.Generator) -> Config:
        """A config drawn uniformly from the unit cube."""
        return self.decode(rng.random(len(self.names)))

    def center(self) -> Config:
        """The config at the centre of the unit cube."""
        return self.decode(np.full(len(self.names), 0.5))

    def encode(self, config: Mapping[str, Any]) -> npt.NDArray[np.float64]:
        """The position of a valid config in the unit cube: shape (len(names),), 0.5 if inactive."""
        return np.array(
            [self._domains[n].encode(config[n]) if n in config else 0.5 for n in self.names],
            dtype=float,
        )

    def decode(self, point: npt.ArrayLike) -> Config:
        """The config at a point of the unit cube, of shape (len(names),).

        Every point gives a valid config; coordinates outside [0, 1] are clipped.

        Raises:
            ArgumentError: for another shape, or NaN.
        """
        fractions = np.clip(np.asarray(point, dtype=float), 0, 1)
        if fractions.shape != (len(self.names),) or np.isnan(fractions).any():
            raise ArgumentError(f"point must be {len(self.names)} numbers in [0, 1], got {point!r}")
        values = dict(self._constants)
        for name, fraction in zip(self.names, fractions.tolist(), strict=True):
            if self.is_active(name, values):
                values[name] = self._domains[name].decode(fraction)
        return self._in_given_order(values)

    def validate(self, config: Mapping[str, Any], *, argument: str = "config") -> Config:
        """The same config in its canonical form: plain Python values, constants filled in.

        Args:
            config: names and values, in terms of the full network.
            argument: its name in messages.

        Raises:
            ConfigError: for a name that is unknown, missing or inactive, or a value that is not
                allowed; the message names the hyperparameter.
        """
        if not isinstance(config, Mapping):
            raise ConfigError(f"{argument} must be a mapping from names to values, got {config!r}")
        for name in config:
            if name not in self:
                raise ConfigError(f"{argument}: {unknown_name('hyperparameter', name, self)}")
        given = {**self._constants, **config}
        values: Config = {}
        for name in self._order:
            if not self.is_active(name, values):
                self._refuse_inactive(name, given, values, argument)
            elif name not in given:
                raise ConfigError(
                    f"{argument}: {name!r} is missing; it must be {self[name].allowed}"
                )
            else:
                values[name] = self._canonical(name, given[name], argument)
        return self._in_given_order(values)

    def resolve(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """The config as ``build`` and ``train`` receive it, with objects instead of labels."""
        return {
            name: domain.resolve(value) if isinstance(domain := self[name], Choice) else value
            for name, value in config.items()
        }

    def to_json(self) -> dict[str, Any]:
        """The definitions as plain JSON data; objects are represented by their labels."""
        return {
            name: given.to_json()
            if isinstance(given, Hyperparameter)
            else {"type": "constant", "value": given}
            for name, given in self.items()
        }

    @classmethod
    def from_json(
        cls,
        data: Mapping[str, Mapping[str, Any]],
        objects: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> Space:
        """The inverse of :meth:`to_json`.

        Args:
            data: name → definition.
            objects: name → label → object, for choices of objects. A choice that is not named here
                becomes a choice of its labels.

        Raises:
            SpaceError: for data that is not a space, or labels that do not match.
        """
        objects = objects or {}
        for name in objects:
            if name not in data:
                raise SpaceError(f"objects: {unknown_name('hyperparameter', name, data)}")
        return cls({name: from_json(name, data[name], objects.get(name)) for name in data})

    def _condition(self, name: str, parent: str, values: tuple[Any, ...]) -> tuple[str, Any]:
        """The condition with the parent's own values, in their order, without duplicates."""
        if parent not in self:
            error = unknown_name("hyperparameter", parent, self.keys() - {name})
            raise SpaceError(f"hyperparameter {name!r}: when names an {error}")
        where = f"hyperparameter {name!r}: when"
        found = [self._canonical(parent, value, where, SpaceError) for value in values]
        return parent, tuple(
            value for _, value in sorted({json.dumps(v): v for v in found}.items())
        )

    def _sorted_names(self) -> tuple[str, ...]:
        parents = {name: [p] if (p := self.parent(name)) else [] for name in sorted(self)}
        try:
            return tuple(TopologicalSorter(parents).static_order())
        except CycleError as error:
            circle = " → ".join(map(repr, error.args[1]))
            raise SpaceError(f"the conditions (when=) form a cycle: {circle}") from None

    def _in_given_order(self, values: Config) -> Config:
        return {name: values[name] for name in self if name in values}

    def _canonical(
        self, name: str, value: object, where: str, kind: type[ArgumentError] = ConfigError
    ) -> Any:
        try:
            return self._domains[name].canonical(value)
        except ConfigError as error:
            raise kind(f"{where}: {name!r} {error}") from None

    def _refuse_inactive(
        self, name: str, given: Mapping[str, Any], values: Config, argument: str
    ) -> None:
        if name in given:
            parent, allowed = self[name].when
            there = f"is {values[parent]!r}" if parent in values else "is itself absent"
            raise ConfigError(
                f"{argument}: {name!r} must be absent because {parent!r} {there}; it requires "
                + " or ".join(map(repr, allowed))
            )
