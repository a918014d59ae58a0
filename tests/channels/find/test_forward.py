"""Forwards that do not come to an end, and what is put back after them."""

import threading
import time
from contextlib import suppress

import pytest
import torch
from torch import nn

from proxyhpo.channels import shrink
from proxyhpo.channels.find import clock as module
from proxyhpo.channels.find.clock import Clock, TimeLimitError
from proxyhpo.channels.find.forward import forward
from proxyhpo.errors import UnsupportedNetworkError
from tests import scripts
from tests.channels.zoo import l1

INPUTS = torch.zeros(2, 6)


class Hanging(nn.Module):
    def __init__(self, hang):
        super().__init__()
        self.first, self.second = nn.Linear(6, 16), nn.Linear(16, 5)
        self.hang = hang

    def forward(self, x):
        self.hang()
        return self.second(self.first(x))


def loop():
    while True:
        pass


def sleep():
    while True:
        time.sleep(0.01)


def stubborn():
    """Goes on after the first exception."""
    for _ in range(2):
        with suppress(Exception):
            sleep()
    raise RuntimeError("given up")


def run(network, clock):
    return forward(network, INPUTS, lambda *_: None, clock, meta=False, training=True)


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr(module, "_WALL", 0.01)


@pytest.mark.parametrize("hang", [loop, sleep, stubborn])
def test_a_forward_that_hangs_is_ended(short, hang):
    network = Hanging(hang)
    threads, state = threading.active_count(), torch.get_rng_state()
    with pytest.raises(TimeLimitError, match=r"0\.3 s"):
        run(network, Clock(30))
    assert torch.equal(torch.get_rng_state(), state)
    for _ in range(10_000):  # nothing is raised late
        pass
    for thread in threading.enumerate():
        if thread.name == "proxyhpo-alarm":
            thread.join(240)
    assert threading.active_count() == threads


def test_a_network_that_hangs_is_refused_with_a_way_out(monkeypatch, short):
    monkeypatch.setattr("proxyhpo.channels.cut.plan.SECONDS", 30.0)
    with pytest.raises(UnsupportedNetworkError, match=r"longer than 0\.3 s.*build\(width\)"):
        shrink(Hanging(sleep), INPUTS, density=0.5, score=l1)


TRACED = """
import sys
from proxyhpo.channels.find.clock import Clock, TimeLimitError, _Alarm

sys.settrace(lambda *_: None)

def called():
    return 1

with Clock(1e6).watching():
    called()
assert called() == 1
alarm = _Alarm(0.0)
try:
    alarm.start()
    while not alarm.rang:
        called()
    alarm.stop()
except TimeLimitError:
    alarm.stop()
assert sum(called() for _ in range(10_000)) == 10_000
"""


@pytest.mark.slow
def test_a_thread_that_a_debugger_traces_continues_after_the_limit_is_lifted(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(TRACED)
    with scripts.start(script) as traced:
        assert traced.wait(240) == 0


def test_errors_of_a_forward_come_through_as_they_are():
    def fail():
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        run(Hanging(fail), Clock(30))
