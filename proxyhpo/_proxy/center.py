"""The config whose network is measured on behalf of all: the centre of the space if possible."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from proxyhpo._records.records import Config
from proxyhpo.space import Space

__all__ = ["first_that_runs"]

_TRIES = 50


def first_that_runs(space: Space, attempt: Callable[[Mapping[str, Any]], None]) -> Config:
    """The centre of the space, or the first of some random configs for which ``attempt`` works.

    Some combinations of hyperparameters may not give a network: a width may not be divisible by a
    number of heads. Equal spaces give equal configs.

    Args:
        space: of the study.
        attempt: builds and runs the full network of a config (with objects instead of labels).

    Raises:
        Exception: the error of the centre, if no config works.
    """
    try:
        attempt(space.resolve(space.center()))
    except (torch.OutOfMemoryError, MemoryError):
        raise
    except Exception as error:
        rng = np.random.default_rng(0)
        for _ in range(_TRIES):
            config = space.sample(rng)
            try:
                attempt(space.resolve(config))
            except Exception:  # noqa: BLE001, S112 - likewise; what is told is the centre's error
                continue
            return config
        raise error from error.__cause__
    return space.center()
