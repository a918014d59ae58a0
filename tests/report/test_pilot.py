import dataclasses

import pytest
import torch
from torch import nn

from proxyhpo import Choice, Float, ProxyHPO, Rung
from proxyhpo._report.pilot import check_of
from proxyhpo.errors import ArgumentError

SPACE = {"x": Float(0, 1), "lr": Float(0.1, 1, log=True)}
WIDTH = 64


def build():
    return nn.Sequential(nn.Linear(6, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 2))


def on_proxy(network):
    return network[0].out_features < WIDTH


def good(network, config):
    yield config["x"]


def reverse(network, config):
    yield -config["x"] if on_proxy(network) else config["x"]


def study(train=good, space=SPACE, **options):
    options = {"direction": "maximize", "progress": False, **options}
    return ProxyHPO(build, train, space, example_inputs=torch.zeros(8, 6), proxies=True, **options)


def trained(check):
    return sorted((r.trial, r.rung, r.config["x"], r.value) for r in check.result.records)


def test_every_config_is_trained_on_both():
    check = study(density=0.25, finalists=1).check(10)
    assert [(r.rung, r.trial) for r in sorted(check.result.records, key=lambda r: r.rung)] == [
        (rung, trial) for rung in (0, 1) for trial in range(10)
    ]
    assert (check.fidelity.n, check.fidelity.picked) == (10, 0)


def test_a_good_and_a_bad_proxy_get_different_verdicts():
    assert study(good).check().verdict == "trust with re-ranking"
    bad = study(reverse, density=0.25).check()
    assert bad.verdict == "do not use this proxy"
    assert bad.density == 0.5
    assert "try density 0.5" in repr(bad)
    worse = study(reverse, density=0.5).check()
    assert worse.density == 1
    assert "search on the full network, proxies=False" in repr(worse)


def test_advice_on_a_shorter_training_is_no_advice_on_pruning():
    def train(network, config, budget=1.0):
        yield config["x"] if budget == 1 else -config["x"]

    check = study(train, ladder=[Rung(1, budget=0.2, keep=3), Rung(1)]).check()
    assert check.verdict == "do not use this proxy"
    assert list(check.advice) == ["search on the full network, proxies=False"]


def test_the_advice_says_that_time_was_up_before_the_first_training():
    check = study(density=0.25).check(12, timeout=1e-9)
    assert list(check.advice) == [
        "call hpo.check again: only 0 configs were trained on both networks"
    ]


def test_few_configs_say_that_they_are_too_few():
    check = study(reverse).check(6)
    assert check.verdict == "too little evidence"
    assert "6 configs trained on both networks: too few for a verdict; check more" in repr(check)


def test_all_configs_of_a_space_may_be_too_few_to_check():
    hpo = study(reverse, space={"x": Choice([0.1, 0.2, 0.3])})
    assert "3 configs trained on both networks: too few for a verdict, but" in repr(hpo.check(5))


def test_a_second_seed_is_the_ceiling():
    def noisy(network, config):
        yield config["x"] + 0.1 * torch.rand(()).item()

    check = study(noisy).check(8, second_seed=True)
    assert [record.rung for record in check.result.records].count(2) == 8
    assert check.fidelity.ceiling.n == 8
    assert "another seed" in repr(check)
    assert check.cost.base_trainings > 16


def test_the_cost_is_reported():
    def simulated(network, config):
        yield {"value": config["x"], "seconds": 1.0 if on_proxy(network) else 10.0}

    check = study(simulated).check(10)
    assert check.cost.base_training_seconds == pytest.approx(10, rel=0.05)
    assert check.cost.base_trainings == pytest.approx(11, rel=0.05)
    assert "base trainings" in repr(check)


def test_a_training_that_waits_for_its_data_is_reported(later):
    def waiting(network, config):
        for _ in range(2):
            later(100)
            yield config["x"]

    check = study(waiting).check(8)
    slow = dataclasses.replace(check, step_ratio=0.1)
    assert check.yield_ratio > 1 / 1.3
    assert slow.fixed_share > 0.7
    assert "pruning will not help" in repr(check)


def with_seconds(check, *, below, above, step_below=0.1):
    """The same check, had trainings and steps taken other times."""
    history = check.result.history
    for index, record in enumerate(history.records):
        seconds = above if record.rung else below
        history._records[index] = dataclasses.replace(record, seconds=seconds, overhead_seconds=0.0)
    for rung, measured in list(history.measured.items()):
        seconds = 1.0 if rung else step_below
        history.add_measurement(dataclasses.replace(measured, step_seconds=seconds))
    return check.result


def test_time_outside_of_the_network_limits_the_saving():
    result = with_seconds(study().check(8), below=4.6, above=10.0)
    check = check_of(result, lambda density: None)
    assert check.yield_ratio == pytest.approx(0.46)
    assert check.fixed_share == pytest.approx(0.4)
    assert "40% of a training is spent outside the network's steps" in repr(check)


def test_no_complaint_where_the_network_is_what_takes_the_time():
    result = with_seconds(study(density=0.25).check(8), below=1.0, above=10.0)
    check = check_of(result, lambda density: 4 * density)
    assert check.fixed_share == pytest.approx(0)
    assert check.density == 0.25
    assert len(check.advice) == 1


def test_a_proxy_whose_step_is_hardly_faster_is_reported():
    result = with_seconds(study().check(8), below=9.0, above=10.0, step_below=0.9)
    assert "a step of the proxy is hardly faster" in repr(check_of(result, lambda density: 1.0))


def test_a_larger_proxy_is_advised_where_it_costs_hardly_more():
    result = with_seconds(study(density=0.1).check(8), below=1.0, above=10.0)
    check = check_of(result, {0.2: 0.11, 0.4: 0.12}.get)
    assert check.density == pytest.approx(0.4)
    assert "use density 0.4" in repr(check)


def test_it_is_kept_beside_the_study_and_resumed(tmp_path):
    path, calls = tmp_path / "study.db", []

    def counting(network, config):
        calls.append(config)
        yield config["x"]

    first = study(counting, store=path).check(5)
    again = study(counting, store=path).check(5)
    assert len(calls) == 10
    assert trained(first) == trained(again)
    more = study(counting, store=path).check(8)
    assert len(calls) == 16
    assert set(trained(first)) < set(trained(more))
    assert not path.exists()
    study(counting, store=path).run(2)
    assert path.exists()


def test_later_results_show_its_verdict_unless_they_have_evidence_of_their_own():
    hpo = study(reverse, density=0.25)
    assert "too little evidence" in repr(hpo.run(4))
    check = hpo.check(12)
    for result in (hpo.result, hpo.run(12)):
        assert result.checked == check.fidelity
        said = "do not use this proxy (12 configs trained on both by hpo.check())"
        assert said in repr(result)
        assert "too little evidence" not in repr(result)
    assert hpo.check(12).result.checked is None
    hpo = study(density=0.25, controls=12)
    hpo.check(12)
    assert "by hpo.check()" not in repr(hpo.run(20))


def test_a_check_with_too_little_evidence_does_not_replace_what_the_search_found():
    hpo = study(reverse, density=0.25, finalists=4)
    assert hpo.check(1).verdict == "too little evidence"
    assert "too little evidence (4 trials trained on both)" in repr(hpo.run(12))


def test_it_does_not_change_the_study():
    hpo = study()
    hpo.enqueue({"x": 0.5, "lr": 0.5})
    asked = hpo.ask()
    hpo.check(3)
    hpo.tell(asked, 1.0)
    assert len(hpo.result.records) == 1
    assert hpo.result.history.trials[0].config["x"] == 0.5


def test_a_callback_may_stop_it():
    hpo = study(callbacks=[lambda record: hpo.stop()])
    check = hpo.check(8)
    assert check.result.interrupted
    assert check.verdict == "too little evidence"
    assert check.yield_ratio is None


def test_without_a_proxy_there_is_nothing_to_check():
    with pytest.raises(ArgumentError, match="no proxy"):
        study(ladder=[Rung(1)]).check()
    with pytest.raises(ArgumentError, match="n must be"):
        study().check(0)
