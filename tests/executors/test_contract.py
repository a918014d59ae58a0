"""Every executor that comes with the package keeps the contract."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import pytest

from proxyhpo.executors import FuturesExecutor, InProcessExecutor, ProcessExecutor
from proxyhpo.executors._interface import is_executor
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
