"""What a stopped training costs, and what it would have cost."""

import time

import pytest
import torch
from torch import nn

from proxyhpo import Float, Int, ProxyHPO
from proxyhpo._records.history import History
from proxyhpo._records.opening import Measurement, Opening
from proxyhpo._records.records import Record
from proxyhpo._records.rung import Rung
from proxyhpo._report.cost import cost_of
from proxyhpo._report.fidelity import fidelities

LADDER = [Rung(0.25, keep=3), Rung(1)]


def history(*records, counted=True):
    """From (trial, rung, state, number of reports, seconds of training), after 1 s of building.

    A proxy's training consists of steps of a second each, if they are counted.
    """
    made = History()
    for trial in range(1 + max(trial for trial, *_ in records)):
        made.add_trial({"x": trial})
    made.add_measurement(Measurement(1, 1.0, 1.0, 160, 1600, 8.0))
    made.add_measurement(Measurement(0, 0.25, 0.25, 10, 100, 1.0))
    for rung in (0, 1):
        made.add_opening(Opening(rung, {}))
    for trial, rung, state, n, seconds in records:
        value = None if state == "failed" else float(trial)
        made.add_record(
            Record(
                trial, rung, 0, {"x": trial}, {"x": trial}, state, value, value,
                reports=tuple(map(float, range(n))), seconds=1 + seconds, overhead_seconds=1,
                backward_passes=round(seconds) if counted and rung == 0 else None,
            )
        )  # fmt: skip
    return made


def test_a_full_search_would_have_trained_what_was_stopped_to_its_end():
    whole = [(trial, 0, "finished", 10, 20.0) for trial in range(4)]
    some = [*whole[:2], (2, 0, "stopped", 2, 4.0), (3, 0, "stopped", 5, 10.0)]
    full, saved = (cost_of(history(*records), LADDER, 0.0) for records in (whole, some))
    assert saved.full_search_seconds == pytest.approx(full.full_search_seconds)
    assert full.full_search_seconds == pytest.approx(4 * (1 + 20 * 8))
    assert saved.base_training_seconds == pytest.approx(full.base_training_seconds)
    assert (saved.seconds, full.seconds) == (4 + 54, 4 + 80)
    assert (saved.rungs[0].runs, saved.rungs[0].stopped, full.rungs[0].stopped) == (4, 2, 0)
    assert "4 trainings, 2 stopped, 58.0 s" in str(saved)
    # By FLOPs the proxy takes a sixteenth.
    assert full.rungs[0].flops_base_trainings == pytest.approx(4 / 16)
    assert saved.rungs[0].flops_base_trainings == pytest.approx((2 + 0.2 + 0.5) / 16)


def test_where_steps_were_not_counted_nothing_is_claimed_until_a_full_training_has_ended():
    proxies = [(trial, 0, "finished", 10, 20.0) for trial in range(4)]
    unknown = cost_of(history(*proxies, counted=False), LADDER, 0.0)
    assert (unknown.base_trainings, unknown.saved) == (None, None)
    assert (unknown.full_search_seconds, unknown.seconds) == (None, 4 * 21)
    measured = cost_of(history(*proxies, (0, 1, "finished", 10, 50.0), counted=False), LADDER, 0.0)
    assert measured.full_search_base_trainings == pytest.approx(4)


def test_a_base_training_is_not_predicted_from_failures():
    failed = [(trial, 0, "failed", 0, 0.01) for trial in range(3)]
    cost = cost_of(history(*failed), LADDER, 0.0)
    assert cost.base_trainings is None
    assert cost.full_search_base_trainings is None
    cost = cost_of(history(*failed, (3, 0, "finished", 10, 20.0)), LADDER, 0.0)
    assert cost.base_training_seconds == pytest.approx(1 + 20 * 8)


def test_finalists_that_were_stopped_below_are_compared_with_what_they_would_have_taken():
    records = [
        (0, 0, "finished", 10, 20.0),
        (1, 0, "stopped", 5, 10.0),
        (0, 1, "finished", 10, 100.0),
        (1, 1, "finished", 10, 100.0),
        (2, 1, "stopped", 1, 3.0),
        (2, 0, "stopped", 2, 4.0),
    ]
    cost = cost_of(history(*records), LADDER, 0.0)
    assert cost.full_search_seconds == pytest.approx(3 * (1 + 20 * 5))
    assert cost.base_training_seconds == pytest.approx(101)
    assert (cost.rungs[1].runs, cost.rungs[1].stopped) == (3, 1)


def test_a_full_search_takes_at_most_a_base_training_per_trial():
    busy = [(trial, 0, "finished", 10, 40.0) for trial in range(1, 4)]
    cost = cost_of(
        history((0, 0, "finished", 10, 20.0), *busy, (0, 1, "finished", 10, 160.0)), LADDER, 0.0
    )
    assert cost.full_search_base_trainings == pytest.approx(4)
    assert cost.full_search_seconds == pytest.approx(4 * 161)
    assert cost.saved == pytest.approx(1 - cost.seconds / (4 * 161))


def test_finalists_with_small_networks_do_not_limit_the_cost_of_a_full_search():
    """The width is a hyperparameter, and the narrowest network is the best."""

    def train(network, config):
        yield {"value": config["n"], "seconds": network[0].out_features}

    def search(**options):
        return ProxyHPO(
            lambda config: nn.Sequential(
                nn.Linear(6, config["n"]), nn.ReLU(), nn.Linear(config["n"], 2)
            ),
            train,
            {"n": Int(16, 256)},
            example_inputs=torch.zeros(8, 6),
            direction="minimize",
            searcher="random",
            progress=False,
            **options,
        ).run(20)

    on_proxies, full = search(proxies=True, density=0.25), search(proxies=False)
    assert on_proxies.cost.full_search_seconds == pytest.approx(full.cost.seconds, rel=0.1)
    assert on_proxies.cost.saved > 0.6


def test_a_full_training_corrects_the_estimate_of_a_full_search_also_downwards():
    proxies = [(trial, 0, "finished", 10, 10.0 * (trial + 1)) for trial in range(3)]
    predicted = cost_of(history(*proxies), LADDER, 0.0)
    assert predicted.full_search_base_trainings == pytest.approx(3)
    # The slowest trial takes 241 s on the full network, and the others 81 s and 161 s.
    corrected = cost_of(history(*proxies, (2, 1, "finished", 10, 240.0)), LADDER, 0.0)
    assert corrected.full_search_base_trainings == pytest.approx((81 + 161 + 241) / 241)


def test_where_none_has_finished_what_was_stopped_counts_as_it_is():
    records = [(0, 0, "failed", 1, 2.0), (1, 0, "stopped", 2, 4.0), (2, 0, "stopped", 0, 4.0)]
    cost = cost_of(history(*records), LADDER, 0.0)
    assert cost.full_search_seconds == pytest.approx(3 + (2 + 4 + 4) * 8)
    assert (cost.rungs[0].failed, cost.rungs[0].stopped) == (1, 2)


def test_the_stopped_count_as_left_behind_and_not_as_compared():
    kept = [(trial, 0, "finished", 10, 1.0) for trial in range(12)]
    climbed = [(trial, 1, "finished", 10, 1.0) for trial in range(12)]
    ladder = [Rung(0.25, keep=12), Rung(1)]
    [everybody] = fidelities(history(*kept, *climbed), ladder)
    assert (everybody.n, everybody.picked) == (12, 0)
    [best] = fidelities(history(*kept, (12, 0, "stopped", 3, 1.0), *climbed), ladder)
    assert (best.n, best.picked) == (12, 12)
    stopped = [(12, 0, "finished", 3, 1.0), (12, 1, "stopped", 3, 1.0)]
    [unfinished] = fidelities(history(*kept, *climbed, *stopped), ladder)
    assert unfinished.n == 12


def test_what_comes_before_the_trainings_is_charged(later, tmp_path):
    def build():
        later(100)
        return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 2))

    def study():
        return ProxyHPO(
            build, lambda network, config: config["x"], {"x": Float(0, 1)}, density=0.5,
            example_inputs=torch.zeros(4, 6), direction="minimize", progress=False,
            store=tmp_path / "study.db", searcher="random", transfer="identity",
        )  # fmt: skip

    began = time.perf_counter()
    cost = study().run(2).cost
    elapsed = time.perf_counter() - began
    assert 200 < cost.measuring_seconds < elapsed
    assert study().run(2).cost == cost
