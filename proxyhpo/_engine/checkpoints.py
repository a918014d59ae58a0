"""Folders in which trainings keep their own checkpoints, for as long as they have not ended."""

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
    """One folder for each training, named by its id, so that it is found again after a kill.

    Only the study's process makes and removes folders: two processes that work on their parent
    folder would disturb each other.

    Args:
        root: holds the folders; made with the first of them and removed with the last.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def make(self, run: RunId) -> Path:
        """The folder of a training, with what earlier attempts at it have left there."""
        folder = self._root / run.name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def drop(self, run: RunId) -> None:
        """Removes the folder of a training that has ended, if there is one."""
        self._remove(self._root / run.name)
        with contextlib.suppress(OSError):  # others are there
            self._root.rmdir()

    def keep(self, runs: Iterable[RunId]) -> None:
        """Removes the folders of all trainings but these: what a killed run, or a worker, left."""
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
        except OSError as error:  # a record stands, whether its checkpoints can be removed or not
            logger.warning("could not remove %s: %s", folder, error)
