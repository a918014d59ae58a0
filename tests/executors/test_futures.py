"""Executors of ``concurrent.futures``, and what is only like them."""

import os
import signal
import sys
import time
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor

import cloudpickle
import pytest

from proxyhpo._runs import Died, Finished, unheard
from proxyhpo.errors import ArgumentError, ExecutorError
from proxyhpo.executors import FuturesExecutor
from proxyhpo.executors import _futures as module
from proxyhpo.testing._trainings import drain, job, run, work
from tests.scripts import CONTEXT

# What the workers do is defined here, and they cannot import tests.
cloudpickle.register_pickle_by_value(sys.modules[__name__])


class Here:
    """Runs each function at once, in this process; its futures are not those of the library."""

    def __init__(self):
        self.asked = 0

    def submit(self, function, *arguments):
        future = Future()
        try:
            future.set_result(function(*arguments))
        except Exception as error:  # noqa: BLE001 - as executors do
            future.set_exception(error)
        return Almost(future, self)


class Almost:
    """Done when it has been asked twice, like a job in the queue of a cluster."""

    def __init__(self, future, executor):
        self._future = future
        self._asked = 0
        self.result = future.result
        self.cancelled = False

    def done(self):
        self._asked += 1
        return self._asked > 2

    def cancel(self):
        self.cancelled = True


def train(network, config):
    if config["file"]:
        os.kill(os.getpid(), getattr(signal, config["file"]))
    yield 1.0


def started(executor, what=train, *, workers=1):
    futures = FuturesExecutor(executor, workers=workers)
    futures.start(work(what), unheard)
    return futures


def test_what_is_only_like_a_future_is_asked_now_and_then():
    futures = started(Here())
    began = time.monotonic()
    first, second = run(futures, job(), job())
    assert first.value == second.value == 1.0
    assert time.monotonic() - began >= 0.5
    assert futures.wait_any() is None


def test_waiting_has_an_end():
    futures = started(Here())
    one = job()
    futures.submit(one)
    assert futures.wait_any(0) is None
    (event,) = drain(futures)
    assert isinstance(event, Finished)
    assert event.job is one


class Cluster:
    """Runs each function when it is asked for its result; what is cancelled is killed."""

    def __init__(self, make):
        self.make = make
        self.cancelled = []

    def submit(self, function, *arguments):
        return self.make(self, function, *arguments)


class SlurmJob:
    """Like submitit's: no Future, and ``cancel`` ends what runs and returns nothing."""

    def __init__(self, cluster, function, *arguments):
        self._cluster, self._call = cluster, (function, *arguments)
        self._asked = 0

    def done(self):
        self._asked += 1
        return self in self._cluster.cancelled or self._asked > 2

    def result(self):
        if self in self._cluster.cancelled:
            raise RuntimeError("CANCELLED by 1000")
        function, *arguments = self._call
        return function(*arguments)

    def cancel(self, check=True):
        self._cluster.cancelled.append(self)


class Pending(Future):
    """Like Dask's: pending until it is done, so that it can be cancelled while it runs."""

    def __init__(self, cluster, function, *arguments):
        super().__init__()
        self._cluster, self._call = cluster, (function, *arguments)
        self._asked = 0

    def done(self):
        self._asked += 1
        if self._asked == 2 and not super().done():
            function, *arguments = self._call
            self.set_result(function(*arguments))
        return super().done()

    def cancel(self):
        self._cluster.cancelled.append(self)
        return super().cancel()


@pytest.mark.parametrize("make", [SlurmJob, Pending])
def test_drained_it_lets_those_end_of_which_it_is_not_known_whether_they_run(make, monkeypatch):
    monkeypatch.setattr(module, "wait", lambda *_: None)  # nothing would wake it
    cluster = Cluster(make)
    futures = started(cluster, workers=2)
    jobs = [job(), job()]
    for each in jobs:
        futures.submit(each)
    assert futures.drain() == 2
    futures.submit(job())
    events = drain(futures)
    assert [type(event) for event in events] == [Finished, Finished]
    assert {event.job.id for event in events} == {each.id for each in jobs}
    assert not cluster.cancelled


def test_drained_it_takes_back_what_waits_beside_what_runs():
    class Promises:
        def __init__(self):
            self.futures = []

        def submit(self, function, *arguments):
            self.futures.append(Future())
            return self.futures[-1]

    promises = Promises()
    futures = started(promises, workers=3)
    jobs = [job(), job(), job()]
    for each in jobs:
        futures.submit(each)
    promises.futures[1].set_running_or_notify_cancel()
    futures.drain()
    assert futures.wait_any(0) is None
    assert [future.cancelled() for future in promises.futures] == [True, False, True]
    promises.futures[1].set_result(None)
    assert futures.wait_any(0).job is jobs[1]
    assert futures.wait_any() is None


def test_shutdown_cancels_what_runs_and_tells_of_what_it_cannot(caplog):
    class Lost(SlurmJob):
        def cancel(self, check=True):
            super().cancel()
            raise FileNotFoundError(2, "No such file or directory", "scancel")

    cluster = Cluster(Lost)
    futures = started(cluster, workers=2)
    for each in (job(), job()):
        futures.submit(each)
    futures.shutdown()
    assert len(cluster.cancelled) == 2
    assert caplog.text.count("could not cancel trial-") == 2
    assert "scancel" in caplog.text


def test_a_retried_training_is_another_call():
    """Dask gives calls of the same function with equal arguments the same future."""

    class Memoized(Here):
        def __init__(self):
            super().__init__()
            self.calls = []

        def submit(self, function, *arguments):
            self.calls.append((function, arguments))
            return super().submit(function, *arguments)

    memoized = Memoized()
    futures = started(memoized)
    one = job()
    run(futures, one)
    run(futures, one)
    first, again = memoized.calls
    assert first != again


def test_two_trainings_at_once_in_one_process_are_refused():
    futures = started(Here())
    with module._one_at_a_time:
        futures.submit(job())
    with pytest.raises(ExecutorError, match="share the global random"):
        futures.wait_any()


def test_a_crash_breaks_a_process_pool_and_no_running_training_is_blamed():
    with ProcessPoolExecutor(1, mp_context=CONTEXT) as pool:
        futures = started(pool, workers=2)
        innocent = job()
        futures.submit(job(file="SIGKILL"))
        futures.submit(innocent)
        words = r"broken .*BrokenProcessPool.* resume the study"
        with pytest.raises(ExecutorError, match=words):
            futures.wait_any(240)
        with pytest.raises(ExecutorError, match=words):
            futures.submit(job())


def test_a_training_that_is_lost_has_taken_no_time_of_which_anything_is_known():
    class Lost(SlurmJob):
        def result(self):
            raise RuntimeError("NODE_FAIL")

    futures = started(Cluster(Lost))
    (died,) = run(futures, job())
    assert died == Died(died.job, "RuntimeError: NODE_FAIL", 0.0)


def test_arguments_are_checked_at_once():
    with pytest.raises(ArgumentError, match="executor must have a method submit"):
        FuturesExecutor(3, workers=1)
    with ThreadPoolExecutor() as threads, pytest.raises(ArgumentError, match="other processes"):
        FuturesExecutor(threads, workers=1)
    with pytest.raises(ArgumentError, match="workers must be a whole number >= 1, got 0"):
        FuturesExecutor(Here(), workers=0)
    assert FuturesExecutor(Here(), workers=3).capacity == 3
