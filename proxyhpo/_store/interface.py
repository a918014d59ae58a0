"""What every store does."""

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
    """The journal of a study and the weights it keeps; a context manager that closes it."""

    @abstractmethod
    def append(self, kind: str, body: Mapping[str, Any]) -> None:
        """Adds an event, which is kept, whatever happens to this process, once this returns.

        Args:
            kind: a word for what happened; the store does not care which.
            body: nested JSON data. NaN and infinities are kept; numpy numbers become plain ones,
                tuples become lists.

        Raises:
            ArgumentError: if the body holds what JSON cannot, naming the place.
            StoreError: if the event cannot be written (disk full, closed, forked); none of it is.
        """

    @abstractmethod
    def events(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Every (kind, body), in order of appending.

        Raises:
            StoreError: if an event is damaged.
        """

    @abstractmethod
    def save_weights(self, name: str, state: Mapping[str, Tensor]) -> None:
        """Keeps a copy of the tensors, in place of any of that name; all of it or nothing.

        Args:
            name: such as ``trial-7-rung-1``: letters, digits, ``-`` and ``_``.
            state: such as ``network.state_dict()``, on any device.

        Raises:
            ArgumentError: if the name has another form, or a value is not a tensor.
            StoreError: if the weights cannot be written.
        """

    @abstractmethod
    def load_weights(self, name: str) -> dict[str, Tensor]:
        """The tensors kept by that name, on the CPU; they are the caller's to change.

        Raises:
            ArgumentError: if the name has another form.
            StoreError: if there are none, or they are damaged.
        """

    @abstractmethod
    def weights_reader(self) -> Callable[[str], dict[str, Tensor]]:
        """Does what :meth:`load_weights` does, also when the store is closed; can be pickled."""

    @abstractmethod
    def drop_weights(self, name: str) -> None:
        """Forgets the tensors kept by that name, if there are any.

        Raises:
            ArgumentError: if the name has another form.
            StoreError: if they cannot be removed.
        """

    @abstractmethod
    def weights(self) -> list[str]:
        """The names by which tensors are kept, or were being kept when a process was killed.

        Raises:
            StoreError: if they cannot be listed.
        """

    @property
    @abstractmethod
    def checkpoints(self) -> Path:
        """Where trainings may keep files until they have ended; made by whoever needs it."""

    @abstractmethod
    def check(self) -> None:
        """Sees that what was appended can still be found, once the study has ended.

        Raises:
            StoreError: if the file was deleted or replaced meanwhile. What is known has then been
                written to a file again, where that is possible.
        """

    @abstractmethod
    def close(self) -> None:
        """Lets others write. A second call does nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
