"""How the work of a study travels to where its trainings run."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import cloudpickle
import torch

from proxyhpo.errors import ArgumentError, ExecutorError

if TYPE_CHECKING:
    from mmap import mmap

    from proxyhpo._runs import Work

__all__ = ["pack", "tune_torch", "unpack"]


def pack(work: Work) -> bytes:
    """The work as bytes that :func:`pickle.loads` reads.

    Functions and classes of ``__main__`` (a script, a notebook) travel whole, with the globals
    that they use; those of a module travel by name, and the module is imported at the other end.

    Raises:
        ArgumentError: naming the part of the work that cannot travel.
    """
    try:
        return _dumps(work)
    except Exception as error:
        raise ArgumentError(
            f"{_culprit(work)} cannot be sent to other processes: {error}. Open files, "
            "connections, locks and the like inside build or train, where they are used"
        ) from error


def unpack(packed: bytes | mmap) -> Work:
    """The work again, where it is done.

    Raises:
        ExecutorError: if it cannot be loaded, with what to do about it.
    """
    try:
        work: Work = pickle.loads(packed)  # noqa: S301 - the study's own, for its own processes
    except Exception as error:
        raise ExecutorError(
            f"a worker could not load the functions of the study: {error!r}. What a module "
            "defines must be importable there, or travel whole: "
            "cloudpickle.register_pickle_by_value(module)"
        ) from error
    return work


def tune_torch(threads: int) -> None:
    """Sets torch up for training beside other workers.

    Two teams of threads on the same cores cost far more than they give; and denormal numbers,
    which small networks reach with weight decay, are up to a hundred times slower.
    """
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)


def _culprit(work: Work) -> str:
    for name, part in vars(work).items():
        try:
            _dumps(part)
        except Exception:  # noqa: BLE001, PERF203 - whichever the object raises; a few parts
            return f"the study's {name} ({type(part).__name__})"
    return "the study"


def _dumps(value: Any) -> bytes:
    data: bytes = cloudpickle.dumps(value)
    return data
