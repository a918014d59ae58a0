"""A limit on the time that a look at a network may take."""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["Clock", "TimeLimitError"]


class TimeLimitError(Exception):
    """Looking at a network took too long."""


class Clock:
    """Raises once this thread has worked for a number of seconds.

    Time in which other processes had the processor does not count: whether a network is refused
    must not depend on how busy the machine is. What never comes to an operator, or waits without
    working, is ended by the wall's clock: a forward has four times as long by that. (A single call
    outside of Python that does not return cannot be ended.)
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end = time.thread_time() + seconds

    def check(self) -> None:
        """Raises TimeLimitError if the time is over."""
        if time.thread_time() > self._end:
            raise TimeLimitError(f"it took longer than {self._seconds:g} s")

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Ends what runs inside, whatever it does, if it takes too long by the wall's clock."""
        wall = _WALL * self._seconds
        alarm = _Alarm(wall)
        alarm.start()
        try:
            yield
        except Exception as error:
            if alarm.rang:  # user code may have caught that, and raised something else
                raise TimeLimitError(f"a forward took longer than {wall:g} s") from error
            raise
        finally:
            alarm.stop()


_WALL = 4
"""How many times as long a forward may take by the wall's clock: others may be busy, too."""


class _Alarm(threading.Thread):
    """Raises TimeLimitError in the thread that made it, again and again until it is stopped."""

    def __init__(self, seconds: float) -> None:
        super().__init__(daemon=True, name="proxyhpo-alarm")
        self._target_thread = ctypes.c_ulong(threading.get_ident())
        self._seconds = seconds
        self._stopped, self._lock = threading.Event(), threading.Lock()
        self.rang = False

    def run(self) -> None:
        """Waits, and rings."""
        pause = self._seconds
        while not self._stopped.wait(pause):
            with self._lock:
                if not self._stopped.is_set():
                    self.rang = True
                    self._ring()
            pause = 1.0  # for code that catches every exception and goes on

    def stop(self) -> None:
        """Nothing is raised after this.

        What has rung may not have been raised yet. It is raised and caught here instead of being
        cleared: CPython keeps checking for an exception that was cleared, and CPython 3.11 does so
        in an endless loop while a debugger or coverage traces the thread.
        """
        raised = False
        while not raised:
            try:
                with self._lock:
                    self._stopped.set()
                if not self.rang:
                    return
                raised = True  # from here on, what is raised is the last one
                self._ring()
                while True:
                    pass
            except TimeLimitError:  # noqa: PERF203 - twice at most
                continue

    def _ring(self) -> None:
        """Replaces one that has not been raised yet: a thread has place for one."""
        error = ctypes.py_object(TimeLimitError)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(self._target_thread, error)
