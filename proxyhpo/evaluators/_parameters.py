"""Which optional parameters a user's function has."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from proxyhpo.evaluators._interface import TrialRun

__all__ = ["call_for_trial", "takes"]

T = TypeVar("T")


def takes(function: Callable[..., Any], name: str) -> bool:
    """Whether a function has a parameter of this name that can be passed by keyword.

    The signature is that of the innermost function, through ``functools.wraps`` and
    ``functools.partial``. ``**kwargs`` alone takes nothing.

    >>> takes(lambda config, trial: None, "trial"), takes(lambda config, **others: None, "trial")
    (True, False)
    """
    try:
        outer = inspect.signature(function, follow_wrapped=False)
        inner = inspect.signature(function)
    except (ValueError, TypeError):  # some functions written in C have no signature
        return False
    fixed = function.keywords if isinstance(function, functools.partial) else {}
    return name in inner.parameters and name not in fixed and _has_keyword(outer, name)


def call_for_trial(make: Callable[..., T], *given: Any, trial: TrialRun) -> T:
    """Calls a user's function, with ``trial=`` if it has such a parameter."""
    return make(*given, trial=trial) if takes(make, "trial") else make(*given)


def _has_keyword(signature: inspect.Signature, name: str) -> bool:
    parameters = signature.parameters
    if name in parameters:
        return parameters[name].kind is not inspect.Parameter.POSITIONAL_ONLY
    return any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
