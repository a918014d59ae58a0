"""Workers that cannot start, and work that does not reach them."""

import os
import sys
import time

import cloudpickle
import pytest

import proxyhpo.executors._processes
from proxyhpo._runs import unheard
from proxyhpo.errors import ArgumentError, ExecutorError
from proxyhpo.executors import ProcessExecutor
from proxyhpo.testing._trainings import work
from tests.executors.actions import ENDLESS, does, started, train
from tests.waiting import PATIENCE, wait_until_gone

# What the workers do is defined here, and they cannot import tests.
cloudpickle.register_pickle_by_value(sys.modules[__name__])


def test_work_that_cannot_travel_is_refused_and_named():
    lock = __import__("threading").Lock()

    def locked(network, config):
        with lock:
            yield 1.0

    with pytest.raises(ArgumentError, match=r"evaluator \(TrainingEvaluator\) cannot be sent"):
        ProcessExecutor(1).start(work(locked), unheard)


class Loads:
    """Calls a function where it is loaded."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call

    def __call__(self, network, config):
        yield 1.0


def test_work_that_cannot_be_loaded_ends_the_study_with_the_reason():
    absent = Loads(__import__, "no_such_module_anywhere")
    with started(ProcessExecutor(1), absent) as executor:
        executor.submit(does("nothing"))
        with pytest.raises(ExecutorError, match="no_such_module_anywhere"):
            executor.wait_any(PATIENCE)


def test_workers_that_die_before_any_training_end_the_study(monkeypatch):
    monkeypatch.setattr(proxyhpo.executors._processes, "STARTS_TO_GIVE_UP", 2)
    with started(ProcessExecutor(1), Loads(os._exit, 9)) as executor:
        executor.submit(does("nothing"))
        with pytest.raises(ExecutorError, match=r"2 workers in a row .* exited with code 9"):
            executor.wait_any(PATIENCE)


def test_an_interrupted_start_leaves_no_worker(monkeypatch):
    workers = []

    class Interrupted(proxyhpo.executors._processes.WorkerProcess):
        def __init__(self, *arguments, **options):
            if workers:
                raise KeyboardInterrupt
            super().__init__(*arguments, **options)
            workers.append(self)

    monkeypatch.setattr(proxyhpo.executors._processes, "WorkerProcess", Interrupted)
    executor = ProcessExecutor(2)
    with pytest.raises(KeyboardInterrupt):
        executor.start(work(train), unheard)
    executor.shutdown()
    wait_until_gone(workers[0]._process.pid)


def test_workers_that_hang_before_any_training_end_the_study(monkeypatch):
    monkeypatch.setattr(proxyhpo.executors._processes, "STARTS_TO_GIVE_UP", 2)
    monkeypatch.setattr(proxyhpo.executors._processes, "START_SECONDS", 0.5)
    executor = ProcessExecutor(1, trial_timeout=0.1)
    with started(executor, Loads(time.sleep, ENDLESS)):
        executor.submit(does("nothing"))
        with pytest.raises(
            ExecutorError, match=r"2 workers in a row .* within 0\.5 s: does loading"
        ):
            executor.wait_any(PATIENCE)
