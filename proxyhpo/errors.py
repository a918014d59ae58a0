"""Every exception that proxyhpo raises on purpose.

::

    ProxyHPOError
    ├── ArgumentError (also ValueError)      an invalid argument, raised before any training
    │   ├── SpaceError                       a hyperparameter that is badly defined
    │   ├── ConfigError                      a config that lies outside its space
    │   ├── EvaluatorError                   an evaluator that cannot train any config
    │   └── UnknownNameError                 a name that does not exist
    ├── PluginError                          a plug-in that is broken, or a name taken twice
    ├── UnsupportedNetworkError              a network that cannot be pruned, and why
    ├── StoreError                           a store that cannot be read or written
    │   ├── StoreLockedError                 another process is writing this study
    │   └── StudyMismatchError               the store holds a study with other settings
    ├── ExecutorError                        an executor that cannot run any training
    ├── TrainingFailedError                  every training failed from the start
    └── NotClimbedError (also RuntimeError)  no training of the full network has succeeded yet
"""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "ArgumentError",
    "ConfigError",
    "EvaluatorError",
    "ExecutorError",
    "NotClimbedError",
    "PluginError",
    "ProxyHPOError",
    "SpaceError",
    "StoreError",
    "StoreLockedError",
    "StudyMismatchError",
    "TrainingFailedError",
    "UnknownNameError",
    "UnsupportedNetworkError",
]


class ProxyHPOError(Exception):
    """The base of every exception that proxyhpo raises on purpose."""


class ArgumentError(ProxyHPOError, ValueError):
    """An invalid argument; the message names it, what was given and what is allowed."""


class SpaceError(ArgumentError):
    """A hyperparameter that is badly defined; the message names it."""


class ConfigError(ArgumentError):
    """A config that lies outside its space; the message names the hyperparameter."""


class UnknownNameError(ArgumentError):
    """A name that does not exist; the message lists the valid names."""


class EvaluatorError(ArgumentError):
    """An argument of an evaluator that is wrong for every config, found by a training.

    It ends the study, unless a training has already succeeded. The training remains unfinished.
    """


class PluginError(ProxyHPOError):
    """A plug-in that cannot be loaded, or a name that several distributions provide."""


class UnsupportedNetworkError(ProxyHPOError):
    """A network that cannot be pruned; the message names modules, reasons and alternatives."""


class StoreError(ProxyHPOError):
    """A store that cannot be read or written; quoted text in the message is :func:`printable`."""

    def __init__(self, message: str = "") -> None:
        super().__init__(printable(message))


class StoreLockedError(StoreError):
    """Another process is writing this study."""


class StudyMismatchError(StoreError):
    """The store contains a study with other settings; the message lists the differences."""


class ExecutorError(ProxyHPOError):
    """An executor that cannot run any training, as opposed to the loss of a single worker."""


class TrainingFailedError(ProxyHPOError):
    """All trainings failed from the start; the message has a traceback or a reason."""


class NotClimbedError(ProxyHPOError, RuntimeError):
    """No training of the full network has succeeded yet."""


def unknown_name(
    what: str, given: object, allowed: Iterable[str], *, hint: str = ""
) -> UnknownNameError:
    """The error for a name that is not allowed; it suggests the nearest allowed name.

    Args:
        what: the kind of name.
        given: the name.
        allowed: the valid names.
        hint: a sentence to give instead of the nearest name.

    >>> raise unknown_name("searcher", "tpee", ["grid", "random", "tpe"])
    Traceback (most recent call last):
    proxyhpo.errors.UnknownNameError: unknown searcher 'tpee'; did you mean 'tpe'? Allowed: 'grid', 'random', 'tpe'
    """  # noqa: E501 - the message that a doctest shows cannot be broken
    names = sorted(allowed)
    if not hint and (near := _nearest(str(given), names)):
        hint = f"did you mean {near!r}?"
    after = f"; {hint}" if hint else "."
    listed = ", ".join(map(repr, names)) or "none"
    return UnknownNameError(f"unknown {what} {given!r}{after} Allowed: {listed}")


def _nearest(given: str, names: Iterable[str]) -> str:
    """The name that is like the given one, or the only one that starts so; case does not matter."""
    lower = {name.lower(): name for name in names}
    near = difflib.get_close_matches(given.lower(), lower, n=1)
    if not near and len(given) > 1:
        near = [name for name in lower if name.startswith(given.lower())]
    return lower[near[0]] if len(near) == 1 else ""


def unknown_metric(
    where: str, given: str, known: Iterable[str], *, hint: str = ""
) -> EvaluatorError:
    """The error for a monitored metric that a training does not have.

    Args:
        where: what has metrics, such as ``"metric logged by the module"``.
        given: the name.
        known: the names of its metrics.
        hint: a sentence to give instead of the nearest name.

    >>> unknown_metric("metric of the evaluation", "eval_los", ["eval_loss"])
    EvaluatorError("monitor: unknown metric of the evaluation: 'eval_los'; did you mean 'eval_loss'? Allowed: 'eval_loss'")
    """  # noqa: E501 - the message that a doctest shows cannot be broken
    return EvaluatorError(f"monitor: {unknown_name(f'{where}:', given, known, hint=hint)}")


def missing_library(user: str, library: str, extra: str) -> ImportError:
    """The error for an optional library that is not installed.

    >>> missing_library("RayExecutor", "Ray", "ray")
    ImportError("RayExecutor needs Ray: install proxyhpo with its extra 'ray', for example pip install '.[ray]' in a checkout")

    Args:
        user: what needs it.
        library: what is needed.
        extra: the extra of proxyhpo that installs it.
    """  # noqa: E501 - the message that a doctest shows cannot be broken
    return ImportError(
        f"{user} needs {library}: install proxyhpo with its extra {extra!r}, for example "
        f"pip install '.[{extra}]' in a checkout"
    )


def counted(number: int, noun: str) -> str:
    """A number of things.

    >>> counted(1, "trial"), counted(2, "trial")
    ('1 trial', '2 trials')
    """
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def printable(text: str) -> str:
    r"""The text without control characters, which terminals would execute; for untrusted text.

    >>> printable("a file" + chr(27) + "[2J of" + chr(10) + "others")
    'a file�[2J of\nothers'
    """
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)


def is_about_sizes(said: str) -> bool:
    """Whether an exception, as :func:`one_line` gives it, looks like one of sizes that do not fit.

    >>> is_about_sizes("RuntimeError: shape '[-1, 256]' is invalid for input of size 64")
    True
    >>> is_about_sizes("KeyError: 'size'"), is_about_sizes("ValueError: unknown optimizer")
    (False, False)
    """
    return _SIZES.match(said) is not None


_SIZES = re.compile(
    r"(RuntimeError|ValueError|IndexError|AssertionError): .*\b(shapes?|sizes?|mat[12]|view|"
    r"dimensions?|channels|broadcast|elements|state_dict)\b",
    re.IGNORECASE,
)


def one_line(error: BaseException) -> str:
    """The message of an error in one line, also if it quotes another error's traceback.

    >>> quote = ["The task failed with", "  Traceback: ...", "  KeyError: 'lr'", "See the log."]
    >>> one_line(RuntimeError(chr(10).join(quote)))
    "RuntimeError: KeyError: 'lr'"
    """
    try:
        said = str(error)
    except Exception as unprintable:  # noqa: BLE001 - str() of a user's exception is user's code
        said = f"(cannot be printed: {type(unprintable).__name__})"
    lines = said.strip().splitlines() or [""]
    quoted = [line.strip() for line in lines if "Error: " in line]
    return f"{type(error).__name__}: {quoted[-1] if quoted else lines[0]}"
