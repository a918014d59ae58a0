"""The global random states, for contracts of parts that must not change them."""

from __future__ import annotations

import random

import numpy as np
import torch

__all__ = ["global_random_states"]


def global_random_states() -> str:
    """The states of Python's, NumPy's and torch's global generators, as a text to compare."""
    with np.printoptions(threshold=np.iinfo(np.int64).max):
        numpys = repr(np.random.get_state())  # noqa: NPY002 - the one that must not change
    return repr((random.getstate(), numpys, torch.get_rng_state().tolist()))
