"""Checks that the arguments of executors share."""

from __future__ import annotations

from proxyhpo.errors import ArgumentError

__all__ = ["check_amount", "check_seconds"]


def check_seconds(name: str, given: object) -> None:
    """Raises an ArgumentError unless it is a number above 0, or None for no limit."""
    if given is not None and not (isinstance(given, (int, float)) and given > 0):
        raise ArgumentError(f"{name} must be a number of seconds > 0, got {given!r}")


def check_amount(name: str, given: object) -> None:
    """Raises an ArgumentError unless it is a number from 0 on."""
    if not isinstance(given, (int, float)) or isinstance(given, bool) or not given >= 0:
        raise ArgumentError(f"{name} must be a number >= 0, got {given!r}")
