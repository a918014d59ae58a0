"""Folders in which trainings keep their own checkpoints, for as long as they have not ended."""

from __future__ import annotations

import contextlib
import logging
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

__all__ = ["Checkpoints"]

logger = logging.getLogger("proxyhpo")

Key = tuple[int, int, int]

_NAME = re.compile(r"(?:trial|probe)-\d+-rung-\d+-replicate-\d+")


class Checkpoints:
    """One folder a training, named by its numbers, so that it is found again after a kill.

    The study's process makes and removes them, and nobody else: two of them at work on the folder
    that holds them all would be in each other's way.

    Args:
        root: holds the folders; made with the first of them, and gone with the last.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def make(self, key: Key) -> Path:
        """The folder of a training, with what earlier attempts at it have left there.

        Args:
            key: that of the training's job.
        """
        folder = self._root / _name(key)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def drop(self, key: Key) -> None:
        """Removes the folder of a training that has ended, if there is one."""
        self._remove(self._root / _name(key))
        with contextlib.suppress(OSError):  # others are there
            self._root.rmdir()

    def keep(self, keys: Iterable[Key]) -> None:
        """Removes the folders of all trainings but these: what a killed run, or a worker, left."""
        kept = {_name(key) for key in keys}
        if self._root.is_dir():
            for folder in self._root.iterdir():
                if _NAME.fullmatch(folder.name) and folder.name not in kept:
                    self._remove(folder)
            with contextlib.suppress(OSError):
                self._root.rmdir()

    def _remove(self, folder: Path) -> None:
        try:
            shutil.rmtree(folder)
        except FileNotFoundError:
            pass
        except OSError as error:  # a record stands, whether its checkpoints can be removed or not
            logger.warning("could not remove %s: %s", folder, error)


def _name(key: Key) -> str:
    trial, rung, replicate = map(int, key)
    run = f"trial-{trial}" if trial >= 0 else f"probe-{-1 - trial}"
    return f"{run}-rung-{rung}-replicate-{replicate}"
