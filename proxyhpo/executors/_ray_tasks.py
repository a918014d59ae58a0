"""A training as a Ray task: what runs there, and what is known of it here."""

from __future__ import annotations

import ipaddress
import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from proxyhpo._runs import Died, Job, Outcome, Reported
from proxyhpo.errors import one_line
from proxyhpo.executors._shipping import tune_torch, unpack

if TYPE_CHECKING:
    from proxyhpo._runs import Work

__all__ = ["RayTask", "import_ray", "is_local", "kept_local", "train"]

_loaded: dict[str, Work] = {}


def train(packed: list[Any], job: Job, threads: int) -> Iterator[Any]:
    """Does a job in a process of Ray: None when it begins, then its reports, then its outcome.

    The training pushes its reports, and Ray's stream pulls them: so it runs in a thread of its own.
    Cancelling the task raises in the main thread, and has the training end at its next report.
    """
    work = _load(packed[0])
    messages: SimpleQueue[Any] = SimpleQueue()
    is_cancelled = threading.Event()

    def hear(_job: Job, reported: Reported) -> bool:
        messages.put(reported)
        return is_cancelled.is_set()

    def run() -> None:
        tune_torch(threads)  # holds for a thread
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
    """The next message; a wait without an end could not be cancelled."""
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
        job: what it does.
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
        """What to wait for: the next message, or the end of a task that has been cancelled.

        Cancelling ends the stream at once, but not the task, and the end of a stream whose task
        goes on blocks whoever reads it.
        """
        return self.stream.completed() if self.stopping or self._verdict else self.stream

    @property
    def has_begun(self) -> bool:
        """Whether its process has said so."""
        return self._began is not None

    def begin(self, limit: float | None) -> None:
        """The training begins, and may take ``limit`` seconds."""
        self._began = time.monotonic()
        if limit is not None and not self.stopping:
            self.deadline = self._began + limit
            self._late = f"timed out after {limit:g} s"

    def stop(self, grace: float) -> None:
        """The training has been interrupted, and may take ``grace`` seconds to end."""
        self.stopping = True
        self.deadline = time.monotonic() + grace

    def expire(self) -> None:
        """The task is being killed; once more in a second, as Ray may not be able to yet."""
        self.deadline = time.monotonic() + 1.0
        self._verdict = self._late

    def died(self, error: Exception) -> Died:
        """What has happened to its job."""
        seconds = 0.0 if self._began is None else time.monotonic() - self._began
        reason = self._verdict or one_line(error)
        return Died(self.job, reason, seconds)


def import_ray() -> Any:
    """The library, or an error that says how to get it."""
    try:
        import ray  # noqa: PLC0415 - an extra, and 79 MB
    except ImportError as error:
        raise ImportError("RayExecutor needs Ray: pip install 'proxyhpo[ray]'") from error
    return ray


@contextmanager
def kept_local(ray: Any) -> Iterator[None]:
    """Has the servers that Ray starts listen on 127.0.0.1, not on every interface.

    That is what Ray itself does on systems where it supports no clusters. There is no public way:
    on Linux ``ray.init`` takes an address of 127.0.0.1 for a mistake, and mends it, and the
    environment variable behind this name is read once, when Ray is imported. Where a version of
    Ray does not have the name, nothing is changed: see :func:`is_local` for what came of it.
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


def is_local(ray: Any) -> bool:
    """Whether the servers of this node listen on this machine alone."""
    return bool(ipaddress.ip_address(ray.util.get_node_ip_address()).is_loopback)
