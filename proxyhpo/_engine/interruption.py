"""Ctrl-C and SIGTERM while a study runs.

While trainings run, no new training starts after the first Ctrl-C, and the running ones finish. The
second Ctrl-C raises KeyboardInterrupt at once. The first one does so, too, if no training runs, or
if no handler can be installed: outside of the main thread, or if the caller has installed one.
While the result is made and the store is closed, which takes a moment, Ctrl-C has no effect.
Schedulers send SIGTERM some seconds before they kill a process. It ends the run at once, and then
the process, with the exit status that shells report for this signal.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType

from proxyhpo.errors import counted

__all__ = ["Interruption", "interruptible"]

logger = logging.getLogger("proxyhpo")

TERMINATED = 128 + signal.SIGTERM
"""The exit status of a process that was ended by SIGTERM."""


class _Terminated(BaseException):
    """SIGTERM was received. Not a SystemExit, since a training that fails may raise one."""


class Interruption:
    """What signals have requested so far."""

    def __init__(self) -> None:
        self.is_ending = False
        """Whether no more trainings may start."""
        self._drain: Callable[[], int] | None = None
        self._stop: type[BaseException] | None = None
        self._is_finishing = False
        self._process = os.getpid()

    @contextmanager
    def draining(self, drain: Callable[[], int]) -> Iterator[None]:
        """Within the block, the first Ctrl-C lets the running trainings finish.

        Args:
            drain: called by the signal handler; returns the number of running trainings.
        """
        self._drain = drain
        try:
            yield
        finally:
            self._drain = None

    def finish(self) -> None:
        """Ctrl-C has no effect from now on, because the run returns its result and closes."""
        self._is_finishing = True

    @property
    def has_happened(self) -> bool:
        """Whether a signal has been received."""
        return self.is_ending or self._stop is not None

    def check(self) -> None:
        """Ends the run if a signal came where exceptions are swallowed, as in ``__del__``."""
        if self._stop is not None:
            raise self._stop

    def interrupt(self, _number: int, _frame: FrameType | None) -> None:
        """Handles Ctrl-C."""
        if self._is_finishing:
            return
        if self.is_ending or self._drain is None:
            self._stop = KeyboardInterrupt
            raise KeyboardInterrupt
        self.is_ending = True
        # A terminal also sends the signal to forked children. The workers of a DataLoader must keep
        # running, since their training does.
        if os.getpid() == self._process and (running := self._drain()):
            trainings = counted(running, "training")
            logger.warning("finishing %s; press Ctrl-C again to stop now", trainings)

    def terminate(self, _number: int, _frame: FrameType | None) -> None:
        """Handles SIGTERM."""
        self._stop = _Terminated
        raise _Terminated


@contextmanager
def interruptible(after: str = "the study has ended") -> Iterator[Interruption]:
    """Handles both signals within the block, unless the caller has installed handlers.

    Args:
        after: what is logged after SIGTERM, such as how to resume.

    Raises:
        SystemExit: with status 143 after SIGTERM, once the block has been left.
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
            logger.warning("interrupted by SIGTERM: %s", after)
            raise SystemExit(TERMINATED) from None


# A forked child runs no study, so SIGTERM must end it as usual. The signal stays blocked until the
# child has restored the default handler, because Python drops signals that arrive before that.


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
