"""Which hyperparameters a user's function reads from its config."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, SupportsIndex, final

from typing_extensions import override

if TYPE_CHECKING:
    from proxyhpo._records.records import Config
    from proxyhpo.evaluators._interface import TrialRun

__all__ = ["UnusedWarning", "recorded", "unread"]

logger = logging.getLogger("proxyhpo")


@final
class _ReadConfig(dict[str, Any]):
    """A config that records which hyperparameters were read; its copies are plain dicts.

    Access to the whole config, as in ``**config``, counts as reading all of them.
    """

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.read: set[str] = set()

    @override
    def __getitem__(self, name: str) -> Any:
        self.read.add(name)
        return super().__getitem__(name)

    @override
    def get(self, name: str, default: Any = None, /) -> Any:
        self.read.add(name)
        return super().get(name, default)

    @override
    def pop(self, name: str, /, *default: Any) -> Any:
        self.read.add(name)
        return super().pop(name, *default)

    @override
    def setdefault(self, name: str, default: Any = None, /) -> Any:
        self.read.add(name)
        return super().setdefault(name, default)

    @override
    def __iter__(self) -> Any:  # also makes ** and dict() call keys()
        return iter(self._all())

    @override
    def keys(self) -> Any:
        return self._all().keys()

    @override
    def values(self) -> Any:
        return self._all().values()

    @override
    def items(self) -> Any:
        return self._all().items()

    @override
    def copy(self) -> dict[str, Any]:
        return self._all()

    @override
    def __or__(self, other: Any) -> Any:
        return self._all() | other

    @override
    def __ror__(self, other: Any) -> Any:
        return other | self._all()

    @override
    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        return dict, (self._all(),)

    def _all(self) -> dict[str, Any]:
        """A plain copy, after which every hyperparameter counts as read."""
        plain = dict(super().items())
        self.read.update(plain)
        return plain


def recorded(config: Config, trial: TrialRun) -> Config:
    """The config for a user's function; its reads are recorded if ``build`` takes no config."""
    return _ReadConfig(config) if trial.left_to_train else config


def unread(config: Config, trial: TrialRun) -> list[str]:
    """The hyperparameters of a :func:`recorded` config that nothing has read so far."""
    if not isinstance(config, _ReadConfig):
        return []
    names = trial.left_to_train - config.read
    return [name for name in dict.keys(config) if name in names]


class UnusedWarning:
    """Warns once if the first training of a study does not use a hyperparameter.

    Args:
        function: name of the argument that should read the config.
    """

    def __init__(self, function: str) -> None:
        self._function = function
        self._has_warned = False

    def check(self, config: Config, trial: TrialRun) -> None:
        """Logs the warning, if it applies.

        Args:
            config: a :func:`recorded` config, after the user's function has read it.
            trial: the training.
        """
        names = unread(config, trial)
        if trial.number or self._has_warned or not names:
            return
        self._has_warned = True
        logger.warning(
            "the first training did not use %s: build takes no config, and %s did not read %s. "
            "If build should use %s, let it take the config: "
            "lambda config: Net(**config)",
            ", ".join(map(repr, names)),
            self._function,
            "it" if len(names) == 1 else "them",
            "it" if len(names) == 1 else "them",
        )
