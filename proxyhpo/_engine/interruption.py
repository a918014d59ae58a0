"""Ctrl-C and SIGTERM while a study runs: what is in flight is ended to its end, or left for later.

While trainings run, the first Ctrl-C begins no more and lets those in flight end. The second one
stops now, by KeyboardInterrupt, as the first does before and after, and wherever no handler can be
installed (in a thread other than the main one) or the caller has one. SIGTERM, which schedulers
send some seconds before they kill, stops now as well, from the first step of a run to its last, and
ends the process with the exit status that shells give it.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType

__all__ = ["Interruption", "interruptible"]

logger = logging.getLogger("proxyhpo")

TERMINATED = 128 + signal.SIGTERM
"""The exit status of a process that SIGTERM has ended."""


class _Terminated(BaseException):
    """SIGTERM has come; no SystemExit, which would be a training's own way to fail."""


class Interruption:
    """What signals have asked for so far."""

    def __init__(self) -> None:
        self.is_ending = False
        """Whether no more trainings are to begin."""
        self._drain: Callable[[], int] | None = None
        self._stop: type[BaseException] | None = None
        self._process = os.getpid()

    @contextmanager
    def draining(self, drain: Callable[[], int]) -> Iterator[None]:
        """Until the block ends, the first Ctrl-C lets what is in flight end, and stops nothing.

        Args:
            drain: called then, from the signal's handler; says how many trainings are in flight.
        """
        self._drain = drain
        try:
            yield
        finally:
            self._drain = None

    def check(self) -> None:
        """Stops now if that was asked for where exceptions are swallowed, as in a ``__del__``."""
        if self._stop is not None:
            raise self._stop

    def interrupt(self, _number: int, _frame: FrameType | None) -> None:
        """Handles Ctrl-C."""
        if self.is_ending or self._drain is None:
            self._stop = KeyboardInterrupt
            raise KeyboardInterrupt
        self.is_ending = True
        # A terminal sends it to forked children too: the workers of a DataLoader have to go on
        # with the training that they belong to.
        if os.getpid() == self._process:
            running = self._drain()
            trainings = "1 training" if running == 1 else f"{running} trainings"
            logger.warning("finishing %s in flight; Ctrl-C again stops now", trainings)

    def terminate(self, _number: int, _frame: FrameType | None) -> None:
        """Handles SIGTERM."""
        self._stop = _Terminated
        raise _Terminated


@contextmanager
def interruptible() -> Iterator[Interruption]:
    """Handles both signals until the block ends, where Python's own way is the one in force.

    Raises:
        SystemExit: with status 143, once the block has been left because of SIGTERM.
    """
    interruption = Interruption()
    with ExitStack() as stack:
        if threading.current_thread() is threading.main_thread():
            for number, default, handler in (
                (signal.SIGINT, signal.default_int_handler, interruption.interrupt),
                (signal.SIGTERM, signal.SIG_DFL, interruption.terminate),
            ):
                if signal.getsignal(number) == default:
                    signal.signal(number, handler)
                    stack.callback(signal.signal, number, default)
        try:
            yield interruption
        except _Terminated:
            raise SystemExit(TERMINATED) from None


# A child that is forked has no study to end, and must end when it is told to. Until it can, the
# signal waits: Python forgets, in a new child, what has arrived for its handlers.


def _is_ours() -> bool:
    handler = signal.getsignal(signal.SIGTERM)
    return isinstance(getattr(handler, "__self__", None), Interruption)


def _before_fork() -> None:
    if _is_ours():
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})


def _after_fork_in_parent() -> None:
    if _is_ours():
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})


def _after_fork_in_child() -> None:
    if _is_ours():
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )
