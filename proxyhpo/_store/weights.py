"""Tensors in a file each, written whole or not at all, read without running any code."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from proxyhpo._store.files import open_regular
from proxyhpo.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["check_name", "copied", "names", "read", "remove", "write"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
_UNFINISHED = ".tmp"
_ZIP = b"PK\x03\x04"


def check_name(name: str) -> str:
    """The same name, if it is safe to make a file name of.

    Raises:
        ArgumentError: if it is not of letters, digits, ``-`` and ``_``, at most 100 of them.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ArgumentError(
            f"a name of weights has 1 to 100 letters, digits, '-' and '_', got {name!r}"
        )
    return name


def copied(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors on the CPU, detached, sharing storage with nothing (a view would drag its base).

    Raises:
        ArgumentError: if a value is not a tensor, naming it.
    """
    for name, tensor in state.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise ArgumentError(
                f"weights are tensors by name, got {type(tensor).__name__} at {name!r}"
            )
    return {name: tensor.detach().to("cpu", copy=True) for name, tensor in state.items()}


def write(path: Path, state: dict[str, Tensor]) -> None:
    """Writes the tensors to a temporary name, then renames: a reader finds all or the old ones."""
    path.parent.mkdir(exist_ok=True)
    temporary = path.with_suffix(_UNFINISHED)
    temporary.unlink(missing_ok=True)  # left by a killed process, or a link that leads elsewhere
    try:
        with temporary.open("xb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def remove(path: Path) -> None:
    """Removes the file of that name, and what was begun to be written in its place."""
    path.unlink(missing_ok=True)
    path.with_suffix(_UNFINISHED).unlink(missing_ok=True)


def names(folder: Path) -> list[str]:
    """Of what is in a folder, written whole or only begun; no others than those of this form."""
    if not folder.is_dir():
        return []
    return sorted(
        {
            file.stem
            for file in folder.iterdir()
            if file.suffix in (".pt", _UNFINISHED) and _NAME.fullmatch(file.stem)
        }
    )


def read(path: Path) -> dict[str, Tensor]:
    """The tensors in a file.

    Raises:
        OSError: if there is no such file, or it is a link, or no regular file.
        ValueError: if it holds anything but tensors by name.
    """
    with os.fdopen(open_regular(path, os.O_RDONLY), "rb") as file:
        # Older formats than zip are never written here, and before torch 2.6 reading them could
        # run code in spite of weights_only (CVE-2025-32434).
        if file.read(len(_ZIP)) != _ZIP:
            raise ValueError("the file is damaged, or not one of weights")
        file.seek(0)
        try:
            state = torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # a damaged file can make torch raise anything
            raise ValueError(f"the file is damaged, or not one of weights: {error}") from error
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in state.items()
    ):
        raise ValueError("the file holds something else than tensors by name")
    return state
