"""Names of a package that are loaded on first use, since their libraries are slow to import."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

__all__ = ["lazy_names"]


def lazy_names(package: str, modules: Mapping[str, str]) -> Callable[[str], Any]:
    """A ``__getattr__`` for a package (PEP 562).

    Args:
        package: its ``__name__``.
        modules: public name → the module inside the package that defines it.
    """

    def __getattr__(name: str) -> Any:  # noqa: N807 - what the caller's module calls it
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{modules[name]}"), name)

    return __getattr__
