"""The interface of stores."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from typing_extensions import Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from torch import Tensor

__all__ = ["Store"]


class Store(ABC):
    """The journal of a study and its weights; a context manager that closes it."""

    @abstractmethod
    def append(self, kind: str, body: Mapping[str, Any]) -> None:
        """Appends an event. Once this returns, the event survives a crash of this process.

        Args:
            kind: of the event; not interpreted by the store.
            body: nested JSON data. NaN and infinities are preserved; numpy numbers become Python
                numbers, tuples become lists.

        Raises:
            ArgumentError: if the body contains something that JSON cannot store; names its place.
            StoreError: if the event cannot be written (disk full, store closed, process forked).
                Then no part of it is written.
        """

    @abstractmethod
    def events(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Every (kind, body), in order of appending.

        Raises:
            StoreError: if an event is damaged.
        """

    @abstractmethod
    def save_weights(self, name: str, state: Mapping[str, Tensor]) -> None:
        """Saves a copy of the tensors, replacing any of the same name; all of them or none.

        Args:
            name: for example ``trial-7-rung-1``: letters, digits, ``-`` and ``_``.
            state: for example ``network.state_dict()``, on any device.

        Raises:
            ArgumentError: if the name is invalid, or a value is not a tensor.
            StoreError: if the weights cannot be written.
        """

    @abstractmethod
    def weights_reader(self) -> Callable[[str], dict[str, Tensor]]:
        """A picklable function that loads the tensors of a name, even if the store is closed.

        It returns copies on the CPU that the caller may change. It raises an ``ArgumentError`` if
        the name is invalid, and a ``StoreError`` if there are no such tensors or they are damaged.
        """

    @abstractmethod
    def drop_weights(self, name: str) -> None:
        """Deletes the tensors of this name, if there are any.

        Raises:
            ArgumentError: if the name is invalid.
            StoreError: if they cannot be deleted.
        """

    @abstractmethod
    def weights(self) -> list[str]:
        """The names of all saved tensors, including those whose writing was interrupted.

        Raises:
            StoreError: if they cannot be listed.
        """

    @property
    @abstractmethod
    def checkpoints(self) -> Path:
        """The folder where trainings may keep files until they end; created when it is needed."""

    @abstractmethod
    def check(self) -> None:
        """Sees that what was appended can still be found, once the study has ended.

        Raises:
            StoreError: if the file was deleted or replaced meanwhile. What is known has then been
                written to a file again, where that is possible.
        """

    @abstractmethod
    def close(self) -> None:
        """Closes the store, so that others may write. A second call does nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
