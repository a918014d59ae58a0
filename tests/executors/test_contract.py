"""Every executor that comes with the package keeps the contract."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import pytest

from proxyhpo.executors import FuturesExecutor, InProcessExecutor, ProcessExecutor
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
