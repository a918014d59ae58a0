"""Global random states: seeded for every training, and restored for the caller afterwards.

They belong to the process, so threads use them one at a time: studies that run in several threads
give the same results as one after the other.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import numpy as np
import torch

__all__ = ["cuda_in_use", "preserved_random_state", "seed_everything", "seed_sequence"]

logger = logging.getLogger("proxyhpo")

_turn = threading.RLock()
_PATIENCE_SECONDS = 10.0
"""How long a thread waits for its turn before it says so."""

_PURPOSES = {"proposal": 1, "measuring": 2, "training": 3, "control": 4}


def seed_sequence(purpose: str, *numbers: int) -> np.random.SeedSequence:
    """The source of randomness for one purpose; equal arguments give an equal one.

    The purpose comes first because a SeedSequence treats [a] and [a, 0] as the same.
    """
    return np.random.SeedSequence([_PURPOSES[purpose], *numbers])


def seed_everything(seed: int) -> None:
    """Seeds ``random``, numpy and torch (every device) with one number in [0, 2**64)."""
    random.seed(seed)
    np.random.seed(np.random.SeedSequence(seed).generate_state(4))  # noqa: NPY002 - users' code reads the global state
    if _has_accelerator():
        torch.manual_seed(seed)
    else:
        # torch.manual_seed() stores a stack trace for every kind of device that may be used later,
        # which takes most of the time of a short trial.
        torch.default_generator.manual_seed(seed)


@cache
def _has_accelerator() -> bool:
    return torch.accelerator.is_available()


def cuda_in_use() -> bool:
    """Whether this process has started to use a GPU."""
    return torch.cuda.is_available() and bool(torch.cuda.is_initialized())  # type: ignore[no-untyped-call]  # torch's


@contextmanager
def preserved_random_state() -> Iterator[None]:
    """Restores the caller's global random states when the block ends, also after an exception.

    Other threads wait where they enter such a block.

    >>> torch.manual_seed(3).initial_seed()
    3
    >>> with preserved_random_state():
    ...     seed_everything(7)
    >>> torch.initial_seed()
    3
    """
    with _in_turn():
        python, legacy = random.getstate(), np.random.get_state()  # noqa: NPY002 - as above
        cuda = torch.cuda.get_rng_state_all() if cuda_in_use() else None
        cpu = torch.get_rng_state()
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(legacy)  # noqa: NPY002 - as above
            torch.set_rng_state(cpu)
            if cuda is not None:
                torch.cuda.set_rng_state_all(cuda)


@contextmanager
def _in_turn() -> Iterator[None]:
    """One thread at a time; a thread may enter again inside the block."""
    if not _turn.acquire(timeout=_PATIENCE_SECONDS):
        logger.warning(
            "waiting for another thread that trains or measures a network, because random states "
            "are global to the process. Run each study in its own process to run them in parallel"
        )
        _turn.acquire()
    try:
        yield
    finally:
        _turn.release()
