"""Runs trainings as Ray tasks, on this machine or on a cluster."""

from __future__ import annotations

import logging
import math
import time
from typing import TYPE_CHECKING, Any

from proxyhpo._runs import Ended, Finished, Outcome
from proxyhpo._validation import check_number, check_seconds, check_whole, suggesting
from proxyhpo.errors import ArgumentError, ExecutorError
from proxyhpo.executors._ray_tasks import (
    RayTask,
    import_ray,
    is_local,
    kept_local,
    kept_sigterm,
    train,
)
from proxyhpo.executors._shipping import pack

if TYPE_CHECKING:
    from proxyhpo._runs import Hear, Job, Work

__all__ = ["RayExecutor"]

logger = logging.getLogger("proxyhpo")

_POLL_SECONDS = 0.5

_PATIENCE_SECONDS = 10.0
"""How long trainings wait while none runs, before the log says what they wait for."""


class RayExecutor:
    """Runs each training as one Ray core task (arXiv:1712.05889), without Ray Tune.

    Requires the extra ``ray``. If this process is already connected to Ray (by
    ``ray.init``, for instance with a runtime environment), that connection is used and left open.
    The functions of the study, with the data and weights that they refer to, are put into Ray's
    object store once. If a training crashes, or its node is lost, only that training is affected.
    The study, not Ray, decides whether to retry it.

    Args:
        num_cpus: CPUs for each training.
        num_gpus: GPUs for each training; a fraction lets several share one GPU.
        address: of a cluster, or ``"auto"`` for the cluster of this machine. By default Ray is
            started on this machine, and ended by ``shutdown``. It then accepts only local
            connections; if the installed version of Ray does not allow that, a warning says so.
        workers: how many trainings to submit at the same time. By default as many as the nodes
            have room for; nodes may join and leave during the study.
        threads: torch threads in each training.
        trial_timeout: seconds after which a training is killed and recorded as failed.
        grace: seconds that a stopped training may take to end before it is killed.
        ahead: how many more jobs to submit, which wait at Ray until there is room.

    Raises:
        ArgumentError: for an invalid argument.
        ImportError: if Ray is not installed.
    """

    streams = True

    @suggesting
    def __init__(
        self,
        *,
        num_cpus: float = 1,
        num_gpus: float = 0,
        address: str | None = None,
        workers: int | None = None,
        threads: int = 1,
        trial_timeout: float | None = None,
        grace: float = 10.0,
        ahead: int = 1,
    ) -> None:
        num_cpus = check_number("num_cpus", num_cpus, least=0)
        num_gpus = check_number("num_gpus", num_gpus, least=0)
        if not num_cpus + num_gpus:
            raise ArgumentError("num_cpus and num_gpus must not both be 0")
        if trial_timeout is not None:
            trial_timeout = check_seconds("trial_timeout", trial_timeout)
        self._resources = {"CPU": num_cpus, "GPU": num_gpus}
        self._address = address
        self._workers = None if workers is None else check_whole("workers", workers, 1)
        self._threads = check_whole("threads", threads, 1)
        self._trial_timeout = trial_timeout
        self._grace = check_seconds("grace", grace)
        self.ahead = check_whole("ahead", ahead, 0)
        self._ray = import_ray()
        self._has_started_ray = False
        self._packed: Any = None  # an ObjectRef
        self._tasks: list[RayTask] = []
        self._is_draining = self._has_warned = False

    @property
    def capacity(self) -> int:
        """How many trainings the current nodes have room for, at least 1."""
        if self._workers is not None:
            return self._workers
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        return max(1, sum(self._places(resources) for resources in nodes))

    def start(self, work: Work, hear: Hear) -> None:
        """Connects to Ray and puts what the trainings share into its object store.

        Raises:
            ArgumentError: if it cannot be sent to other processes.
            ConnectionError: if there is no cluster at the address.
        """
        self.shutdown()
        packed = pack(work)
        if not self._ray.is_initialized():
            self._has_started_ray = True  # set first: shutdown() must also end an interrupted start
            with kept_sigterm():
                self._connect()
        self._hear = hear
        self._is_draining = self._has_warned = False
        self._packed = self._ray.put(packed)
        self._train = self._ray.remote(
            num_cpus=self._resources["CPU"],
            num_gpus=self._resources["GPU"],
            max_retries=0,
            num_returns="streaming",
        )(train)

    def submit(self, job: Job) -> None:
        """Submits a task. Ray queues it if all resources are in use."""
        if self._is_draining:
            return
        # Inside a list, Ray passes the reference on unresolved, so a process loads the work once.
        stream = self._train.remote([self._packed], job, self._threads)
        self._tasks.append(RayTask(job, stream))

    def wait_any(self, timeout: float | None = None) -> Ended | None:
        """The end of any job; None after ``timeout`` seconds or if there is no job.

        Raises:
            ExecutorError: if a process cannot load the work.
        """
        end = math.inf if timeout is None else time.monotonic() + timeout
        began = time.monotonic()
        while True:
            if self._is_draining:
                self._take_back()
            if all(task.stopping for task in self._tasks):
                return None
            if time.monotonic() >= began + _PATIENCE_SECONDS:
                self._say_if_nothing_fits()
            ended = self._listen(max(0.0, end - time.monotonic()))
            if ended is not None or time.monotonic() >= end:
                return ended

    def drain(self) -> int:
        """Submits no more jobs, and cancels the ones that have not started."""
        self._is_draining = True
        return sum(task.has_begun and not task.stopping for task in self._tasks)

    def shutdown(self) -> None:
        """Ends every training, and Ray itself if it was started here."""
        try:
            for task in self._tasks:
                self._stop(task)
            while self._tasks:
                self._listen(math.inf)
        finally:  # also at a second Ctrl-C
            for task in self._tasks:
                self._ray.cancel(task.stream, force=True)
            self._tasks.clear()
            self._packed = None
            if self._has_started_ray:
                self._ray.shutdown()
                self._has_started_ray = False

    def _take_back(self) -> None:
        for task in self._tasks:
            if not task.has_begun:
                self._stop(task)

    def _stop(self, task: RayTask) -> None:
        """Ends the training at its next report, or kills it after the grace time."""
        if not task.stopping:
            task.stop(self._grace)
            self._ray.cancel(task.stream, force=False)

    def _connect(self) -> None:
        if self._address is not None:
            self._ray.init(address=self._address, logging_level=logging.WARNING)
            return
        with kept_local(self._ray):
            self._ray.init(include_dashboard=False, logging_level=logging.WARNING)
        if not is_local(self._ray):
            logger.warning(
                "this version of Ray could not be restricted to local connections, so anyone who "
                "can connect to it can run code here: block access to it, or use another version"
            )

    def _places(self, resources: dict[str, float]) -> int:
        needed = {name: amount for name, amount in self._resources.items() if amount}
        return min(int(resources.get(name, 0) / amount) for name, amount in needed.items())

    def _say_if_nothing_fits(self) -> None:
        """Warns once if trainings wait for resources that no node has, free or not."""
        if self._has_warned or any(task.has_begun for task in self._tasks):
            return
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        if not any(self._places(resources) for resources in nodes):
            self._has_warned = True
            wanted = [f"{amount:g} {name}" for name, amount in self._resources.items() if amount]
            logger.warning(
                "no node of Ray has the %s that each training needs, so none can start; press "
                "Ctrl-C to end the study",
                " and ".join(wanted),
            )

    def _listen(self, timeout: float) -> Ended | None:
        """Waits briefly for a message of any task or for a deadline, and handles it."""
        deadline = min(task.deadline for task in self._tasks)
        # ray.wait does not notice Ctrl-C until it returns.
        seconds = min(timeout, max(0.0, deadline - time.monotonic()), _POLL_SECONDS)
        awaited = {task.awaited: task for task in self._tasks}
        ready, _ = self._ray.wait(list(awaited), timeout=seconds, fetch_local=False)
        for task in self._tasks:
            if task.deadline <= time.monotonic():
                task.expire()
                self._ray.cancel(task.stream, force=True)
        return self._receive(awaited[ready[0]]) if ready else None

    def _receive(self, task: RayTask) -> Ended | None:
        if task.stopping:  # and has ended
            self._tasks.remove(task)
            return None
        try:
            message = self._ray.get(next(task.stream))
        except ExecutorError as error:  # Ray's error also inherits from the original class
            raise ExecutorError(str(error)) from None
        except (self._ray.exceptions.RayError, StopIteration) as error:
            self._tasks.remove(task)
            return task.died(error)
        if message is None:
            if not self._is_draining:  # otherwise it is cancelled, since it started too late
                task.begin(self._trial_timeout)
            return None
        if isinstance(message, Outcome):
            self._tasks.remove(task)
            return Finished(task.job, message)
        task.heard.append(message)
        if not self._hear(task.job, message):
            return None
        self._stop(task)
        return Finished(task.job, Outcome.of_stopped(task.heard))
