"""Every executor that comes with the package keeps the contract."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import pytest
import torch

from proxyhpo._runs import unheard
from proxyhpo.executors import FuturesExecutor, InProcessExecutor, ProcessExecutor
from proxyhpo.executors._interface import is_executor
from proxyhpo.testing._trainings import job, run, work
from proxyhpo.testing.executors import ExecutorContract


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
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            yield FuturesExecutor(pool, workers=1)


def test_a_capacity_that_is_not_known_yet_is_accepted():
    class Unconnected(InProcessExecutor):
        @property
        def capacity(self):
            raise RuntimeError("not connected yet")

    assert is_executor(Unconnected())
    assert not is_executor(ProcessPoolExecutor)


@pytest.mark.parametrize("make", [InProcessExecutor, lambda: ProcessExecutor(1)])
def test_trainings_have_the_settings_of_the_process_that_made_the_work(make):
    executor = make()
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        made = work()
    finally:
        torch.set_default_dtype(before)
    executor.start(made, unheard)
    (outcome,) = run(executor, job("raise dtype"))
    executor.shutdown()
    assert outcome.reason == "TypeError: torch.float64"
