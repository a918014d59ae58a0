"""Workers on a GPU that does not exist: its memory, its throughput and the clock are simulated."""

import sys

import cloudpickle
import pytest
import torch

from proxyhpo import Float, ProxyHPO
from proxyhpo._runs import RunId
from proxyhpo.executors import ProcessExecutor
from proxyhpo.executors import _packing as packing_module
from proxyhpo.executors._packing import Packing
from tests.executors.light import light

cloudpickle.register_pickle_by_value(sys.modules[__name__])

GIB = 2**30


class Device:
    """A GPU whose trainings of rung 0 take a GiB each."""

    def __init__(self, speed, total=80, devices=("cuda:0",), most=8):
        self.speed, self.total, self.devices = speed, total, devices
        self.now = 0.0
        self.workers = 0
        self.extra = 0
        self.packing = Packing(
            devices, most, memory=lambda _: self.memory(), clock=lambda: self.now
        )
        self.packing.start()

    def memory(self):
        used = 1 + self.workers + self.extra  # the study's process has a GiB
        return (self.total - used) * GIB, self.total * GIB

    def train(self, reports):
        """Rounds in which every worker reports once."""
        for trial in range(reports):
            capacity = self.packing.capacity
            self.workers = max(self.workers, capacity // len(self.devices))
            runs = [RunId(trial, 0) for _ in range(capacity)]
            for place, run in enumerate(runs):
                self.now += 1 / self.speed(capacity)
                self.packing.report(place, run, runs)
        return self.packing.capacity


@pytest.mark.parametrize(
    ("speed", "expected"),
    [
        (lambda n: n, 8),  # up to one a core
        (lambda n: min(n, 4), 4),
        (lambda n: min(n, 2.2), 2),  # 10 % more is not worth the memory
        (lambda _: 1, 1),
        (lambda n: 1 if n == 1 else 0.5, 1),  # they thrash
    ],
)
def test_trainings_are_doubled_while_throughput_grows(speed, expected):
    assert Device(speed).train(50) == expected


@pytest.mark.parametrize(("total", "expected"), [(80, 8), (8, 6), (4, 2), (2, 1)])
def test_trainings_fit_into_memory(total, expected):
    assert Device(lambda n: n, total).train(50) == expected


def test_every_device_gets_as_many():
    assert Device(lambda n: min(n, 8), devices=("cuda:0", "cuda:1")).train(50) == 8


def test_a_few_reports_decide_nothing():
    assert Device(lambda n: n).train(3) == 1


def test_the_start_of_a_worker_is_not_measured():
    device = Device(lambda n: n)
    while device.packing.capacity == 1:
        device.train(1)
    runs = [RunId(n, 0) for n in range(2)]
    device.packing.report(0, runs[0], runs)
    device.now += 1000  # the second worker imports torch
    assert device.train(50) == 8


def test_the_number_is_measured_anew_for_another_study():
    device = Device(lambda n: n)
    device.train(50)
    device.packing.start()
    assert device.packing.capacity == 1


PROXY, FULL = RunId(0, 0), RunId(1, 1)


def test_a_training_of_a_new_rung_has_its_device_to_itself_until_it_reports():
    device = Device(lambda n: n)
    device.train(50)
    packing = device.packing
    assert packing.fits(0, PROXY, [PROXY] * 7)
    assert not packing.fits(0, FULL, [PROXY])
    assert packing.fits(0, FULL, [])
    assert not packing.fits(1, PROXY, [FULL])
    device.extra = 20
    packing.report(0, FULL, [FULL])
    assert packing.fits(1, PROXY, [FULL])
    assert packing.fits(1, FULL, [FULL, PROXY])  # 9 + 20 + 20 of 72 GiB
    assert packing.fits(1, FULL, [FULL, FULL])
    assert not packing.fits(1, FULL, [FULL, FULL, FULL])


def test_throughput_is_not_measured_beside_wider_networks():
    device = Device(lambda n: n)
    runs = [PROXY, FULL]
    for _ in range(50):
        device.now += 1
        device.packing.report(0, PROXY, runs)
    assert device.packing.capacity == 1


def build():
    return torch.nn.Sequential(
        torch.nn.Linear(4, 64), torch.nn.ReLU(), torch.nn.Linear(64, 64), torch.nn.Linear(64, 2)
    )


def train(network, config):
    for _ in range(6):
        yield config["lr"]


def test_a_study_ends_while_workers_are_added_and_retired(monkeypatch):
    """Throughput doubles from one worker to two, and falls with four."""
    with monkeypatch.context() as patch:
        patch.setattr(torch.cuda, "device_count", lambda: 1)
        patch.setattr("proxyhpo.executors._devices.cores", lambda: 4)
        patch.setattr(packing_module, "cuda_memory", lambda _: (70 * GIB, 80 * GIB))
        executor = ProcessExecutor("auto", devices=["cuda:0"])
    decided = executor._packing._decide
    rates = {1: 1.0, 2: 2.0, 4: 1.0}
    monkeypatch.setattr(executor._packing, "_decide", lambda _: decided(rates[executor.capacity]))
    seen = []
    result = ProxyHPO(
        build,
        light(train),
        {"lr": Float(1e-4, 1, log=True)},
        example_inputs=torch.zeros(8, 4),
        direction="maximize",
        searcher="random",
        density=0.5,
        stopper=None,
        executor=executor,
        progress=False,
        callbacks=[lambda _: seen.append(executor.capacity)],
    ).run(16)
    assert len(result.leaderboard(0)) == 16
    assert not result.failures
    assert set(seen) <= {2, 4}  # doubled by the reports of the first training
