"""Tensors, each set in one file that is written atomically and read without running code."""

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
    """The same name, if it is safe to use in a file name.

    Raises:
        ArgumentError: if it does not have 1 to 100 letters, digits, ``-`` and ``_``.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ArgumentError(
            f"the name of weights must have 1 to 100 letters, digits, '-' and '_', got {name!r}"
        )
    return name


def copied(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies of the tensors on the CPU, detached. They share no storage, so views are not enlarged.

    Raises:
        ArgumentError: if a value is not a tensor; names it.
    """
    for name, tensor in state.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise ArgumentError(
                f"weights must map names to tensors, got {type(tensor).__name__} at {name!r}"
            )
    return {name: tensor.detach().to("cpu", copy=True) for name, tensor in state.items()}


def write(path: Path, state: dict[str, Tensor]) -> None:
    """Writes to a temporary file and renames it, so that a reader sees the old or new tensors."""
    path.parent.mkdir(exist_ok=True)
    temporary = path.with_suffix(_UNFINISHED)
    temporary.unlink(missing_ok=True)  # left by a killed process, or a malicious link
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
    """Removes the file, and the temporary file of an interrupted write."""
    path.unlink(missing_ok=True)
    path.with_suffix(_UNFINISHED).unlink(missing_ok=True)


def names(folder: Path) -> list[str]:
    """Names of the files in a folder, complete or partly written. Other files are ignored."""
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
    """Reads the tensors of a file.

    Raises:
        OSError: if there is no such file, or it is a link or not a regular file.
        ValueError: if it contains anything but named tensors.
    """
    with os.fdopen(open_regular(path, os.O_RDONLY), "rb") as file:
        # Only zip files are written here. Before torch 2.6, reading the older formats could run
        # code in spite of weights_only (CVE-2025-32434).
        if file.read(len(_ZIP)) != _ZIP:
            raise ValueError("the file is damaged, or contains no weights")
        file.seek(0)
        try:
            state = torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # a damaged file can make torch raise anything
            raise ValueError(f"the file is damaged, or contains no weights: {error}") from error
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in state.items()
    ):
        raise ValueError("the file does not contain a mapping of names to tensors")
    return state
