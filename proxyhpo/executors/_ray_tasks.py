"""A training as a Ray task: the remote function, and its state in this process."""

from __future__ import annotations

import ipaddress
import math
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from proxyhpo._runs import Died, Job, Outcome, Reported
from proxyhpo.errors import missing_library, one_line
from proxyhpo.executors._shipping import tune_torch, unpack

if TYPE_CHECKING:
    from proxyhpo._runs import Work

__all__ = ["RayTask", "import_ray", "is_local", "kept_local", "kept_sigterm", "train"]

_loaded: dict[str, Work] = {}


def train(packed: list[Any], job: Job, threads: int) -> Iterator[Any]:
    """Runs a job in a process of Ray. Yields None when it starts, then its reports and its outcome.

    The training pushes its reports while Ray's stream pulls them, so it runs in its own thread.
    Cancelling the task raises in the main thread and ends the training at its next report.
    """
    work = _load(packed[0])
    messages: SimpleQueue[Any] = SimpleQueue()
    is_cancelled = threading.Event()

    def hear(_job: Job, reported: Reported) -> bool:
        messages.put(reported)
        return is_cancelled.is_set()

    def run() -> None:
        tune_torch(threads)  # applies to this thread only
        try:
            messages.put(work.run(job, hear))
        except BaseException as error:  # noqa: BLE001 - raised again in the task's own thread
            messages.put(error)

    yield None
    training = threading.Thread(target=run, daemon=True)
    training.start()
    try:
        while not isinstance(message := _next(messages), (Outcome, BaseException)):
            yield message
    finally:
        is_cancelled.set()
        training.join()
    if isinstance(message, BaseException):
        raise message
    yield message


def _next(messages: SimpleQueue[Any]) -> Any:
    """The next message. An unlimited wait could not be cancelled."""
    while True:
        with suppress(Empty):
            return messages.get(timeout=0.1)


def _load(packed: Any) -> Work:
    """The work, loaded by the first job of a study in this process."""
    if packed.hex() not in _loaded:
        _loaded.clear()
        _loaded[packed.hex()] = unpack(import_ray().get(packed))
    return _loaded[packed.hex()]


@dataclass
class RayTask:
    """A job that has been submitted.

    Args:
        job: the job.
        stream: of its messages, an ``ObjectRefGenerator``.
    """

    job: Job
    stream: Any
    heard: list[Reported] = field(default_factory=list)
    stopping: bool = False
    deadline: float = math.inf
    _began: float | None = None
    _late: str | None = None
    _verdict: str | None = None

    @property
    def awaited(self) -> Any:
        """What to wait for: the next message, or the end of a cancelled task.

        Cancelling ends the stream at once, but not the task. Reading past the end of a stream
        blocks as long as its task runs.
        """
        return self.stream.completed() if self.stopping or self._verdict else self.stream

    @property
    def has_begun(self) -> bool:
        """Whether its process has reported that the training started."""
        return self._began is not None

    def begin(self, limit: float | None) -> None:
        """Records that the training started. It may take ``limit`` seconds."""
        self._began = time.monotonic()
        if limit is not None and not self.stopping:
            self.deadline = self._began + limit
            self._late = f"timed out after {limit:g} s"

    def stop(self, grace: float) -> None:
        """Records that the training was interrupted. It may take ``grace`` seconds to end."""
        self.stopping = True
        self.deadline = time.monotonic() + grace

    def expire(self) -> None:
        """Sets the next deadline of a task that is being killed, since Ray may need another try."""
        self.deadline = time.monotonic() + 1.0
        self._verdict = self._late

    def died(self, error: Exception) -> Died:
        """The death of its job, with the reason."""
        seconds = 0.0 if self._began is None else time.monotonic() - self._began
        reason = self._verdict or one_line(error)
        return Died(self.job, reason, seconds)


def import_ray() -> Any:
    """Imports Ray, or raises an error that says how to install it."""
    try:
        import ray  # noqa: PLC0415 - an extra, and 79 MB
    except ImportError as error:
        raise missing_library("RayExecutor", "Ray", "ray") from error
    return ray


@contextmanager
def kept_local(ray: Any) -> Iterator[None]:
    """Makes the servers that Ray starts listen on 127.0.0.1 instead of all interfaces.

    Ray does the same on systems where it does not support clusters. There is no public option. On
    Linux ``ray.init`` replaces an address of 127.0.0.1, and the environment variable behind the
    patched name is only read when Ray is imported. If a version of Ray lacks the name, nothing is
    changed; :func:`is_local` checks the result.
    """
    constants = getattr(getattr(ray, "_private", None), "ray_constants", None)
    before = getattr(constants, "ENABLE_RAY_CLUSTER", None)
    if constants is None or before is None:
        yield
        return
    constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        constants.ENABLE_RAY_CLUSTER = before


@contextmanager
def kept_sigterm() -> Iterator[None]:
    """Restores the handler of SIGTERM, which ``ray.init`` replaces by one that exits at once.

    The study must close its trainings before the process exits. Ray's own processes end when this
    process exits.
    """
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        is_main = threading.current_thread() is threading.main_thread()
        if is_main and before is not None:  # None: it was not installed by Python
            signal.signal(signal.SIGTERM, before)


def is_local(ray: Any) -> bool:
    """Whether the servers of this node only listen on this machine."""
    return bool(ipaddress.ip_address(ray.util.get_node_ip_address()).is_loopback)
