"""Folders in which trainings keep their own checkpoints until they end."""

from __future__ import annotations

import contextlib
import logging
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from proxyhpo._records.run_id import RunId

__all__ = ["Checkpoints"]

logger = logging.getLogger("proxyhpo")

_NAME = re.compile(r"trial-\d+-rung-\d+(?:-replicate-\d+)?")


class Checkpoints:
    """One folder for each training. It is named by the training's id, so a resumed study finds it.

    Only the study's process creates and removes folders. If several processes changed the parent
    folder, they would interfere.

    Args:
        root: contains the folders. Created with the first one and removed with the last.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def make(self, run: RunId) -> Path:
        """Returns the folder of a training, with the files of earlier attempts."""
        folder = self._root / run.name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def drop(self, run: RunId) -> None:
        """Removes the folder of a training that has ended, if it exists."""
        self._remove(self._root / run.name)
        with contextlib.suppress(OSError):  # not empty
            self._root.rmdir()

    def keep(self, runs: Iterable[RunId]) -> None:
        """Removes the folders of all other trainings, left by a killed run or worker."""
        kept = {run.name for run in runs}
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
        except OSError as error:  # the record is valid anyway
            logger.warning("could not remove %s: %s", folder, error)
