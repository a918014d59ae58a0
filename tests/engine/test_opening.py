"""What is measured when a rung opens: the density for a cost, and whether it saves anything."""

import logging

import pytest
import torch
from torch import nn

from proxyhpo import Float, ProxyHPO, Rung
from proxyhpo._proxy import factory
from proxyhpo.channels.cut import planner
from proxyhpo.errors import ArgumentError, StoreError
from proxyhpo.executors import InProcessExecutor
from proxyhpo.executors._shipping import pack, unpack

INPUTS = torch.zeros(8, 6)
SPACE = {"lr": Float(1e-4, 1, log=True)}


def build():
    return nn.Sequential(
        nn.Linear(6, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2)
    )


def train(network, config):
    return config["lr"]


def run(*ladder, **options):
    options = {"direction": "minimize", "searcher": "random", "progress": False, **options}
    study = ProxyHPO(build, train, SPACE, example_inputs=INPUTS, ladder=ladder, **options)
    return study.run(3)


@pytest.fixture
def steps(monkeypatch):
    """Makes a step take what a function of the network says."""
    return lambda seconds: monkeypatch.setattr(
        factory, "step_seconds", lambda network, *_, **__: seconds(network)
    )


def weights(network):
    return sum(p.count_nonzero().item() for p in network.parameters())


def test_a_cost_in_flops_is_met_whatever_the_time(steps):
    steps(lambda network: 1.0 if network[0].out_features == 64 else 0.5)
    result = run(Rung(cost=0.1, by="flops", keep=1), Rung(1))
    proxy, base = result.measured[0], result.measured[1]
    assert proxy.flops / base.flops == pytest.approx(0.1, rel=0.3)
    assert proxy.density < 0.5


def test_a_cost_in_time_is_another_one(steps):
    steps(lambda network: network[0].out_features ** 0.5)  # .5 of the time is .25 of the width
    result = run(Rung(cost=0.5, keep=1), Rung(1))
    assert result.measured[0].density == pytest.approx(0.25, rel=0.3)


def test_a_store_tells_costs_in_time_and_in_flops_apart(steps, tmp_path):
    steps(weights)
    path = tmp_path / "study.db"
    run(Rung(cost=0.3, by="flops", keep=1), Rung(1), store=path)
    with pytest.raises(StoreError, match="ladder"):
        run(Rung(cost=0.3, keep=1), Rung(1), store=path)


def test_a_proxy_that_is_hardly_faster_causes_a_warning(steps, caplog, tmp_path):
    steps(lambda _: 1.0)
    options = {"store": tmp_path / "study.db"}
    with caplog.at_level(logging.WARNING, logger="proxyhpo"):
        result = run(Rung(0.25, keep=1), Rung(1), **options)
    [line] = [r.getMessage() for r in caplog.records if "faster" in r.getMessage()]
    assert line == f"rung 0: {result.measured[0].warning}"
    assert "at this size most time is not spent on arithmetic" in repr(result)
    assert result.measured[1].warning is None
    again = run(Rung(0.25, keep=1), Rung(1), **options)
    assert again.openings == result.openings
    assert again.measured == result.measured


def test_the_warning_says_that_masks_save_no_time(steps):
    steps(lambda _: 1.0)
    result = run(Rung(0.5, keep=1), Rung(1), pruner="magnitude")
    assert "masked, which saves no time" in repr(result)


def test_a_faster_proxy_causes_no_warning(steps, caplog):
    steps(weights)
    with caplog.at_level(logging.WARNING, logger="proxyhpo"):
        result = run(Rung(0.25, keep=1), Rung(1, budget=1))
    assert result.measured[0].warning is None
    assert "faster" not in repr(result)
    assert not any("faster" in record.getMessage() for record in caplog.records)


def test_for_a_cost_a_warning_is_given_once(steps, caplog):
    steps(lambda _: 1.0)
    with caplog.at_level(logging.WARNING, logger="proxyhpo"):
        result = run(Rung(cost=0.3, by="flops", keep=1), Rung(1))
    [line] = [r.getMessage() for r in caplog.records if "faster" in r.getMessage()]
    assert "is not faster than one of the full network" in line
    assert line.endswith(result.measured[0].warning)


class Unplanned(InProcessExecutor):
    """Takes away what plans how to prune, once the work is there."""

    def __init__(self, monkeypatch):
        super().__init__()
        self._monkeypatch = monkeypatch

    def start(self, work, hear):
        super().start(work, hear)
        self.plans = len(unpack(pack(work)).networks.plans)
        self._monkeypatch.setattr(planner, "plan", None)


@pytest.mark.parametrize("trials_before", [0, 2])
@pytest.mark.parametrize("middle", [Rung(0.5, keep=2), Rung(cost=0.5, by="flops", keep=2)])
def test_all_rungs_are_planned_before_the_work_leaves(middle, trials_before, tmp_path, monkeypatch):
    """A worker that had to plan would do so once for each worker, at the cost of its trainings."""
    ladder = [Rung(0.25, keep=2), middle, Rung(1)]
    options = {"direction": "minimize", "searcher": "random", "progress": False}
    options |= {"ladder": ladder, "store": tmp_path / "study.db", "example_inputs": INPUTS}
    if trials_before:
        ProxyHPO(build, train, SPACE, **options).run(trials_before)
    executor = options["executor"] = Unplanned(monkeypatch)
    result = ProxyHPO(build, train, SPACE, **options).run(4)
    assert [record.state for record in result.records] == ["finished"] * len(result.records)
    assert {record.rung for record in result.records} == {0, 1, 2}
    assert executor.plans >= 2  # they travel with the work: one for each rung below the top


def test_a_cost_that_leads_below_the_rung_below_is_refused_before_any_training(steps, monkeypatch):
    steps(lambda network: float(network[0].out_features))
    trained = []
    monkeypatch.setitem(globals(), "train", lambda network, config: trained.append(config) or 0.0)
    with pytest.raises(ArgumentError, match=r"rung 1 resulted in density .*cheaper"):
        run(Rung(0.5, keep=2), Rung(cost=0.3, keep=1), Rung(1))
    assert not trained
