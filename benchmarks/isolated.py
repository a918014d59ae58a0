"""Runs a measurement in a separate process, with limits on CPU time and memory."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import traceback
import warnings
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import Any

from benchmarks.rows import Row

__all__ = ["isolated"]

_WALL = 8
"""Wall-clock limit of a process, as a multiple of its CPU time limit: the machine may be shared."""


def isolated(
    measure: Callable[..., Row],
    *arguments: Any,
    seconds: float,
    memory: int,
    preload: Sequence[str] = (),
) -> Row:
    """The result of ``measure``, or a row with ``error`` if it raises, dies or exceeds a limit.

    Args:
        measure: a function of a module.
        *arguments: that can be pickled.
        seconds: limit on CPU time.
        memory: limit on memory, in bytes.
        preload: modules that are imported once, for all processes; only the first call counts.
    """
    os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, *preload])
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send, args=(sender, measure, arguments, seconds, memory))
    process.start()
    sender.close()
    try:
        if receiver.poll(_WALL * seconds):
            row: Row = receiver.recv()
            return row
        process.kill()
    except EOFError:  # the process died
        process.join()
        if process.exitcode != -signal.SIGXCPU:
            return {"error": f"the process ended with exit code {process.exitcode}"}
    finally:
        receiver.close()
        process.join()
    return {"error": f"not done after {seconds:.0f} s"}


def _send(
    sender: Connection,
    measure: Callable[..., Row],
    arguments: Sequence[Any],
    seconds: float,
    memory: int,
) -> None:
    warnings.simplefilter("ignore")
    used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])  # by the preloaded modules
    end = int(used + seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (end, end + 5))
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    try:
        row = measure(*arguments)
    except Exception as error:  # noqa: BLE001 - whatever a network or a peer raises is the result
        traceback.print_exc()
        row = {"error": f"{type(error).__name__}: {' '.join(str(error).split())}"[:400]}
    sender.send(row)
