"""Runs trainings as Ray tasks, on this machine or on a cluster."""

from __future__ import annotations

import logging
import math
import time
from typing import TYPE_CHECKING, Any

from proxyhpo._runs import Ended, Finished, Outcome
from proxyhpo._validation import check_number, check_seconds, check_whole
from proxyhpo.errors import ArgumentError, ExecutorError
from proxyhpo.executors._ray_tasks import RayTask, import_ray, is_local, kept_local, train
from proxyhpo.executors._shipping import pack

if TYPE_CHECKING:
    from proxyhpo._runs import Hear, Job, Work

__all__ = ["RayExecutor"]

logger = logging.getLogger("proxyhpo")

_POLL_SECONDS = 0.5


class RayExecutor:
    """One Ray core task a training (arXiv:1712.05889); Ray Tune is not involved.

    Needs ``pip install proxyhpo[ray]``. A connection to Ray that this process has made already
    (``ray.init``, with a runtime environment for instance) is used and left as it is. The
    functions of the study, with the data and weights that they hold, are put into the object
    store once. A training that crashes, or whose node leaves, costs that training alone; whether
    it is tried again is the study's to say, not Ray's.

    Args:
        num_cpus: of each training.
        num_gpus: of each training; may be a fraction, for several on one device.
        address: of a cluster, or ``"auto"`` for the one that this machine belongs to. By default
            Ray is started on this machine, reachable from nowhere else (or with a warning, where
            a version of Ray cannot be kept to that), and ended by ``shutdown``.
        workers: how many trainings to submit at the same time; by default as many as the nodes
            that are there have room for, asked anew whenever that matters.
        threads: of torch in each training.
        trial_timeout: seconds after which a training is killed, and has failed.
        grace: seconds that a training which is stopped may take to end, before it is killed.
        ahead: how many jobs wait at Ray for the next free place.

    Raises:
        ArgumentError: naming the argument that cannot be.
        ImportError: if Ray is not installed.
    """

    streams = True

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
            raise ArgumentError("a training needs some of num_cpus or num_gpus, got 0 of both")
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
        self._packed: Any = None  # a reference of Ray's
        self._tasks: list[RayTask] = []
        self._is_draining = False

    @property
    def capacity(self) -> int:
        """How many trainings the nodes that are there have room for, at least 1."""
        if self._workers is not None:
            return self._workers
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        return max(1, sum(self._places(resources) for resources in nodes))

    def start(self, work: Work, hear: Hear) -> None:
        """Connects to Ray, and puts what the trainings share into its object store.

        Raises:
            ArgumentError: if that cannot be sent to other processes.
            ConnectionError: if there is no cluster at the address.
        """
        self.shutdown()
        packed = pack(work)
        if not self._ray.is_initialized():
            self._has_started_ray = True  # before: an interrupted start is shut down as well
            self._connect()
        self._hear = hear
        self._is_draining = False
        self._packed = self._ray.put(packed)
        self._train = self._ray.remote(
            num_cpus=self._resources["CPU"],
            num_gpus=self._resources["GPU"],
            max_retries=0,
            num_returns="streaming",
        )(train)

    def submit(self, job: Job) -> None:
        """Submits a task; Ray queues it where all places are taken."""
        if self._is_draining:
            return
        # In a list, Ray hands the reference on as it is: a process loads the work only once.
        stream = self._train.remote([self._packed], job, self._threads)
        self._tasks.append(RayTask(job, stream))

    def wait_any(self, timeout: float | None = None) -> Ended | None:
        """The end of any job; None when time is up, or where there is no job.

        Raises:
            ExecutorError: if a process cannot load the work.
        """
        end = math.inf if timeout is None else time.monotonic() + timeout
        while True:
            if self._is_draining:
                self._take_back()
            if all(task.stopping for task in self._tasks):
                return None
            ended = self._listen(max(0.0, end - time.monotonic()))
            if ended is not None or time.monotonic() >= end:
                return ended

    def drain(self) -> int:
        """Takes back what has not begun, and submits no more."""
        self._is_draining = True
        return sum(task.has_begun and not task.stopping for task in self._tasks)

    def shutdown(self) -> None:
        """Ends every training, and Ray with its processes if it was started here."""
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
        """Has the training end at its next report, and kills it after the grace."""
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
                "this version of Ray could not be kept from listening on the network, and whoever "
                "reaches it can run code here: block access to it, or use another version"
            )

    def _places(self, resources: dict[str, float]) -> int:
        needed = {name: amount for name, amount in self._resources.items() if amount}
        return min(int(resources.get(name, 0) / amount) for name, amount in needed.items())

    def _listen(self, timeout: float) -> Ended | None:
        """Waits a little for a message of any task, or for a deadline, and takes note of it."""
        deadline = min(task.deadline for task in self._tasks)
        # Ray's own wait does not see a Ctrl-C before it ends.
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
        except ExecutorError as error:  # Ray's error is also of the class that was raised there
            raise ExecutorError(str(error)) from None
        except (self._ray.exceptions.RayError, StopIteration) as error:
            self._tasks.remove(task)
            return task.died(error)
        if message is None:
            if not self._is_draining:  # or it is taken back: it began too late
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
