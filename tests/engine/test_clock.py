"""The clock of the system may be set, back and forth, while a study runs."""

import math
import random
import time

import pytest
import torch
from torch import nn

from proxyhpo import Float, ProxyHPO
from proxyhpo.errors import StoreLockedError
from tests.studies import outcomes

DAY = 24 * 60 * 60.0


def build():
    return nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 2))


def train(network, config):
    for _ in range(3):
        yield torch.rand(()).item() + config["lr"]


def study(path, **options):
    return ProxyHPO(
        build,
        train,
        {"lr": Float(1e-3, 0.1, log=True)},
        example_inputs=torch.zeros(8, 6),
        direction="minimize",
        progress=False,
        store=path,
        proxies=True,
        **options,
    )


@pytest.fixture(params=["back", "to and fro"])
def looks(request, monkeypatch):
    """How often somebody has looked at the clock, which is another day's every time."""
    seen = []
    days = random.Random(4)
    real = time.time

    def clock():
        seen.append(-DAY * len(seen) if request.param == "back" else DAY * days.uniform(-1e4, 1e4))
        return real() + seen[-1]

    monkeypatch.setattr(time, "time", clock)
    return seen


def test_a_clock_that_is_set_changes_nothing(tmp_path, monkeypatch, looks):
    path = tmp_path / "study.db"

    def look(record):
        time.time()
        with pytest.raises(StoreLockedError):
            study(path).run(3)

    first = study(path, callbacks=[look]).run(4, timeout=600)
    assert not first.interrupted
    resumed = study(path).run(7, timeout=600)
    assert not resumed.interrupted
    assert len(looks) >= 4
    assert all(0 < record.seconds < 600 for record in resumed.records)
    assert 0 < resumed.cost.seconds < math.inf
    monkeypatch.undo()
    undisturbed = study(tmp_path / "other.db")
    undisturbed.run(4)
    assert outcomes(undisturbed.run(7)) == outcomes(resumed)
