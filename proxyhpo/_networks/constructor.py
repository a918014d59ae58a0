"""How to call the user's function that builds a network, according to its signature."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from proxyhpo._validation import is_real
from proxyhpo.errors import ArgumentError
from proxyhpo.space._values import copied

__all__ = ["Takes", "told_by_signature"]

_NO_DEFAULT = inspect.Parameter.empty


@dataclass(frozen=True)
class Takes:
    """The arguments of a constructor.

    Args:
        has_config: whether it takes the config.
        config_keyword: the name of the config, if it is passed by name.
        width: the default of its parameter ``width``; ``inspect.Parameter.empty`` if that has no
            default, None if there is no such parameter.
    """

    has_config: bool = False
    config_keyword: str | None = None
    width: Any = None

    def arguments(self, config: Mapping[str, Any]) -> tuple[dict[str, Any], ...]:
        """The positional arguments; copies, since a constructor may modify its arguments."""
        return (_copies(config),) if self.has_config and self.config_keyword is None else ()

    def keywords(self, config: Mapping[str, Any], width: float | None) -> dict[str, Any]:
        """The keyword arguments.

        If no pruner needs narrow networks (``width`` is None), the default of ``width`` is used. It
        then need not be a fraction.
        """
        keywords: dict[str, Any] = {}
        if width is not None or self.width is _NO_DEFAULT:
            keywords["width"] = 1.0 if width is None else width
        if self.config_keyword is not None:
            keywords[self.config_keyword] = _copies(config)
        return keywords

    @property
    def no_fraction(self) -> str | None:
        """Why ``width`` is not the fraction that by-width pruning needs; None if it is."""
        if self.width is None:
            return "build has no parameter `width`"
        if self.width is not _NO_DEFAULT and not (is_real(self.width) and 0 < self.width <= 1):
            return f"the default of its `width` is {self.width!r}, which is not a fraction"
        return None


def _copies(config: Mapping[str, Any]) -> dict[str, Any]:
    return {name: copied(value) for name, value in config.items()}


def told_by_signature(build: Callable[..., Any]) -> Takes:
    """Reads the arguments of a constructor from its signature.

    Raises:
        ArgumentError: if it requires arguments other than the config and ``width``.


    >>> told_by_signature(lambda config, width=1: None)
    Takes(has_config=True, config_keyword=None, width=1)
    """
    try:
        parameters = inspect.signature(build).parameters.values()
    except (TypeError, ValueError):  # a builtin without a signature: called without arguments
        return Takes()
    named = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    others = [p for p in named if p.name != "width"]
    width = next((p.default for p in named if p.name == "width"), None)
    required = [p for p in others if p.default is p.empty]
    config = next((p for p in others if p.name == "config"), required[0] if required else None)
    unknown = [p.name for p in required if p is not config]
    if unknown:
        raise ArgumentError(
            "build may take nothing, the config, or the config and width; it also requires "
            f"{', '.join(unknown)}"
        )
    if config is None:
        return Takes(width=width)
    # A first argument may have any name; later ones are passed by name.
    first = config is named[0] and config.kind is not config.KEYWORD_ONLY
    return Takes(has_config=True, config_keyword=None if first else config.name, width=width)
