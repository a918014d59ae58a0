"""A time limit for tracing a network."""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["Clock", "TimeLimitError"]


class TimeLimitError(Exception):
    """Tracing a network took too long."""


class Clock:
    """Raises an exception once this thread has used a number of seconds of CPU time.

    CPU time is used because a network must not be refused on a busy machine and accepted on an idle
    one. Code that runs no operators, or waits, is limited by wall-clock time: each forward pass may
    take four times as long. (A single call outside of Python that does not return cannot be ended.)
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end = time.thread_time() + seconds

    def check(self) -> None:
        """Raises TimeLimitError if the time is up."""
        if time.thread_time() > self._end:
            raise TimeLimitError(f"it took longer than {self._seconds:g} s")

    def part(self, seconds: float) -> Clock:
        """A clock that ends after this many seconds from now, and no later than this one."""
        part = Clock(seconds)
        part._end = min(part._end, self._end)
        return part

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Ends the code in the block if it takes too long by wall-clock time."""
        wall = _WALL * self._seconds
        alarm = _Alarm(wall)
        try:
            alarm.start()  # in the block: a short limit may pass before the next line runs
            yield
        except Exception as error:
            if alarm.rang:  # user code may have caught it and raised something else
                raise TimeLimitError(f"a forward took longer than {wall:g} s") from error
            raise
        finally:
            alarm.stop()


_WALL = 4
"""Wall-clock limit of a forward pass, as a multiple of the CPU time limit."""


class _Alarm(threading.Thread):
    """Raises TimeLimitError in the thread that created it, repeatedly until it is stopped."""

    def __init__(self, seconds: float) -> None:
        super().__init__(daemon=True, name="proxyhpo-alarm")
        self._target_thread = ctypes.c_ulong(threading.get_ident())
        self._seconds = seconds
        self._stopped, self._lock = threading.Event(), threading.Lock()
        self.rang = False

    def run(self) -> None:
        """Waits, then raises the exception."""
        pause = self._seconds
        while not self._stopped.wait(pause):
            with self._lock:
                if not self._stopped.is_set():
                    self.rang = True
                    self._ring()
            pause = 1.0  # for code that catches all exceptions and continues

    def stop(self) -> None:
        """Stops. No exception is raised after this returns.

        A pending exception may not have been raised yet. It is raised and caught here, not cleared:
        CPython keeps checking for an exception that was cleared, and CPython 3.11 does so in an
        endless loop while a debugger or coverage traces the thread.
        """
        raised = False
        while not raised:
            try:
                with self._lock:
                    self._stopped.set()
                if not self.rang:
                    return
                raised = True  # the next exception is the last one
                self._ring()
                while True:
                    pass
            except TimeLimitError:  # noqa: PERF203 - twice at most
                continue

    def _ring(self) -> None:
        """Sets the pending exception of the thread, of which there can only be one."""
        error = ctypes.py_object(TimeLimitError)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(self._target_thread, error)
