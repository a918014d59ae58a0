"""Every executor that comes with the package keeps the contract."""

import sys
from concurrent.futures import ProcessPoolExecutor

import cloudpickle
import pytest
import torch

from proxyhpo._runs import unheard
from proxyhpo.executors import FuturesExecutor, InProcessExecutor, ProcessExecutor
from proxyhpo.executors._interface import is_executor
from proxyhpo.testing._trainings import job, run
from proxyhpo.testing.executors import ExecutorContract
from tests.executors.light import light_work
from tests.scripts import CONTEXT

# What the workers do is defined here, and they cannot import tests.
cloudpickle.register_pickle_by_value(sys.modules[__name__])


class TestInProcessExecutor(ExecutorContract):
    @pytest.fixture(scope="class")
    @classmethod
    def executor(cls):
        return InProcessExecutor()


class TestProcessExecutor(ExecutorContract):
    @pytest.fixture(scope="class")
    @classmethod
    def executor(cls):
        return ProcessExecutor(1)


class TestFuturesExecutor(ExecutorContract):
    @pytest.fixture(scope="class")
    @classmethod
    def executor(cls):
        with ProcessPoolExecutor(1, mp_context=CONTEXT) as pool:
            yield FuturesExecutor(pool, workers=1)


def test_a_capacity_that_is_not_known_yet_is_accepted():
    class Unconnected(InProcessExecutor):
        @property
        def capacity(self):
            raise RuntimeError("not connected yet")

    assert is_executor(Unconnected())
    assert not is_executor(ProcessPoolExecutor)


def name_dtype(network, config):
    raise TypeError(str(torch.get_default_dtype()))
    yield


@pytest.mark.parametrize("make", [InProcessExecutor, lambda: ProcessExecutor(1)])
def test_trainings_have_the_settings_of_the_process_that_made_the_work(make):
    executor = make()
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        made = light_work(name_dtype)
    finally:
        torch.set_default_dtype(before)
    executor.start(made, unheard)
    (outcome,) = run(executor, job())
    executor.shutdown()
    assert outcome.reason == "TypeError: torch.float64"
