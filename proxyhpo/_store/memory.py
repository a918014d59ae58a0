"""A store in memory, for studies that need not outlive the process."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from typing_extensions import override

from proxyhpo._store.interface import Store
from proxyhpo._store.strict_json import decode, encode
from proxyhpo._store.weights import check_name, copied
from proxyhpo.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from torch import Tensor

__all__ = ["MemoryStore"]


@final
class MemoryStore(Store):
    """Behaves like a store in a file, and shares no objects with the caller.

    >>> with MemoryStore() as store:
    ...     store.append("trial", {"number": 0, "config": {"lr": 0.1}})
    ...     list(store.events())
    [('trial', {'number': 0, 'config': {'lr': 0.1}})]
    """

    def __init__(self) -> None:
        self._events: list[tuple[str, str]] = []
        self._weights: dict[str, dict[str, Tensor]] = {}
        self._folder: Path | None = None

    @override
    def append(self, kind: str, body: Mapping[str, Any]) -> None:
        self._events.append((kind, encode(body)))

    @override
    def events(self) -> Iterator[tuple[str, dict[str, Any]]]:
        return ((kind, decode(text)) for kind, text in tuple(self._events))

    @override
    def save_weights(self, name: str, state: Mapping[str, Tensor]) -> None:
        self._weights[check_name(name)] = copied(state)

    @override
    def weights_reader(self) -> Callable[[str], dict[str, Tensor]]:
        return partial(_load, dict(self._weights))

    @override
    def drop_weights(self, name: str) -> None:
        self._weights.pop(check_name(name), None)

    @override
    def weights(self) -> list[str]:
        return sorted(self._weights)

    @property
    @override
    def checkpoints(self) -> Path:
        """A temporary folder that exists as long as this store does."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="proxyhpo-"))
            weakref.finalize(self, _remove, self._folder, os.getpid())
        return self._folder / "checkpoints"

    @override
    def check(self) -> None:
        pass  # memory cannot be deleted by others

    @override
    def close(self) -> None:
        pass  # there is nothing to release


def _load(kept: Mapping[str, dict[str, Tensor]], name: str) -> dict[str, Tensor]:
    if check_name(name) not in kept:
        raise StoreError(f"there are no weights named {name!r}")
    return copied(kept[name])


def _remove(folder: Path, owner: int) -> None:
    if os.getpid() == owner:  # not in a forked child, which has a copy of the store
        shutil.rmtree(folder, ignore_errors=True)
