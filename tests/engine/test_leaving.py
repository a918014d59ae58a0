"""Trials begin on the full network where proxies cannot save a third of their time."""

import logging
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn

from proxyhpo import Float, ProxyHPO, Rung, load_study
from proxyhpo._engine import rungs
from proxyhpo._store import read_study
from proxyhpo.errors import ArgumentError
from tests.engine.test_resume import run_in_parts
from tests.studies import sorted_outcomes

FASTER, SLOWER, AS_SLOW = 10.0, 2.0, 1.2


def build():
    return nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 2))


def training(share, *, counted=0):
    """Takes a second on the full network and this share of one on a proxy, as it says itself.

    Args:
        share: of a training on a proxy.
        counted: the number of its backward passes.
    """

    def train(network, config):
        seconds = 1.0 if network[0].out_features == 32 else share
        for _ in range(counted):
            network(torch.zeros(8, 6)).sum().backward()
        for step in (1, 2, 3, 4):
            yield {"value": config["x"] - step, "seconds": seconds * step / 4}

    return train


def study(share, *, counted=0, train=None, **options):
    options = {"direction": "minimize", "progress": False, "searcher": "random", **options}
    options = {"transfer": "identity", **options}
    return ProxyHPO(
        build,
        train or training(share, counted=counted),
        {"x": Float(0, 1)},
        example_inputs=torch.zeros(8, 6),
        **options,
    )


@pytest.fixture
def steps(monkeypatch):
    """How many times faster a step of the proxy is, whatever this machine does."""

    def measured(ratio):
        monkeypatch.setattr(rungs, "step_ratio", lambda *_: ratio)

    return measured


def by_rung(result, rung):
    return [record.trial for record in result.records if record.rung == rung]


def test_no_trial_begins_on_a_proxy_whose_steps_save_too_little(steps):
    steps(AS_SLOW)
    result = study(0.1).run(8)
    assert (by_rung(result, 0), by_rung(result, 1)) == ([], list(range(8)))
    assert "a step of the proxy takes 83% of the full network's time" in result.why_full
    assert result.best_value == min(record.value for record in result.leaderboard())
    assert result.cost.full_search_base_trainings == pytest.approx(8, abs=0.5)
    assert result.cost.n_trials == 8


def test_steps_must_save_more_where_no_early_training_can_correct_them(steps):
    steps(SLOWER)
    assert by_rung(study(0.1).run(6), 0) == []
    assert by_rung(study(0.1).run(12), 0) == list(range(12))


def test_no_further_seeds_where_trials_start_on_the_full_network_unless_asked_for(steps):
    def noisy(network, config):
        for _ in range(4):
            yield {"value": torch.randn(()).item(), "seconds": 1.0}

    steps(AS_SLOW)
    for repeats, expected in [(None, 0), (2, 2)]:
        hpo = ProxyHPO(
            build, noisy, {"x": Float(0, 1)}, example_inputs=torch.zeros(8, 6), repeats=repeats,
            direction="minimize", progress=False, searcher="random", transfer="identity",
        )  # fmt: skip
        assert sum(record.replicate for record in hpo.run(6).records) == expected


def test_bad_trainings_of_such_a_search_are_ended_by_the_stopper(steps):
    steps(AS_SLOW)
    result = study(0.1).run(20)
    assert result.cost.rungs[-1].stopped > 3
    assert result.cost.full_search_seconds > result.cost.seconds - result.cost.overhead_seconds


def test_a_proxy_whose_trainings_save_too_little_is_left_after_the_first_finalist(steps, caplog):
    steps(FASTER)
    result = study(0.8).run(20)
    assert by_rung(result, 0) == list(range(8))
    assert by_rung(result, 1)[1:] == list(range(8, 20))
    assert "a training of the proxy takes" in result.why_full
    assert sum(result.why_full in message for message in caplog.messages) == 1


def test_one_whose_trainings_save_enough_is_kept(steps):
    steps(FASTER)
    result = study(0.3).run(20)
    assert by_rung(result, 0) == list(range(20))
    assert len(by_rung(result, 1)) == 2
    assert not result.why_full


@pytest.mark.parametrize("options", [{"proxies": True}, {"density": 0.25}, {"finalists": 2}])
def test_proxies_that_were_asked_for_are_kept(steps, options):
    steps(AS_SLOW)
    assert by_rung(study(0.9, **options).run(8), 0) == list(range(8))


def test_a_search_without_proxies():
    result = study(0.1, proxies=False).run(4)
    assert list(result.ladder) == [Rung(1)]
    with pytest.raises(ArgumentError, match="density= cannot be used with proxies=False"):
        study(0.1, proxies=False, density=0.5)
    with pytest.raises(ArgumentError, match='"auto", True or False'):
        study(0.1, proxies="yes")


def test_the_decision_is_stored(steps, tmp_path):
    steps(AS_SLOW)
    path = tmp_path / "study.db"
    first = study(0.1, store=path).run(3)
    steps(FASTER)
    second = study(0.1, store=path).run(6)
    assert by_rung(second, 1) == list(range(6))
    assert second.why_full == first.why_full == load_study(path).why_full


@pytest.mark.parametrize(("ratio", "times"), [(AS_SLOW, 2), (FASTER, 1)])
def test_doubtful_steps_are_measured_once_more(steps, ratio, times, tmp_path):
    steps(ratio)
    path = tmp_path / "study.db"
    study(0.1, store=path).run(1)
    _, events = read_study(path)
    measured = [body["rung"] for kind, body in events if kind == "measured"]
    assert sorted(measured) == [0] * times + [1] * times


def test_the_share_that_proxies_cannot_reduce_is_logged_early(caplog):
    with caplog.at_level(logging.WARNING, logger="proxyhpo"):
        hpo = study(0.5, proxies=True, callbacks=[lambda record: hpo.stop() if record.rung else 0])
        result = hpo.run(30)
    assert len(result.records) == 9
    said = [message for message in caplog.messages if "is spent outside" in message]
    assert len(said) <= 1  # none where a step of the proxy is no faster on this machine
    assert bool(said) == ((result.cost.fixed_share or 0) >= 0.25)


@pytest.fixture
def slow_loop(steps, monkeypatch):
    """Steps of the proxy are ten times faster, but two of them take a hundredth of a training."""
    steps(FASTER)
    measure = rungs._measure

    def measured(parts, rung, base):
        found = measure(parts, rung, base)
        return replace(found, flops=None, step_seconds=(0.005, 0.05)[rung])

    monkeypatch.setattr(rungs, "_measure", measured)


def test_a_long_search_makes_a_full_training_early_where_the_loop_takes_the_time(slow_loop, caplog):
    result = study(0.9, counted=2).run(20)
    assert by_rung(result, 0) == [0, 1, 2]
    assert by_rung(result, 1)[1:] == list(range(3, 20))
    assert "a training of the proxy takes" in result.why_full
    said = [message for message in caplog.messages if "is spent outside" in message]
    assert len(said) == 1
    assert said[0].endswith("proxies cannot shorten that part")


def test_the_share_is_also_logged_if_the_first_full_training_fails(slow_loop, caplog):
    failed = []

    def fails_once(network, config):
        if network[0].out_features == 32 and not failed:
            failed.append(config)
            raise RuntimeError("out of memory")
        yield from training(0.9, counted=2)(network, config)

    result = study(0.9, train=fails_once).run(20)
    assert len(result.failures) == 1
    assert sum("is spent outside" in message for message in caplog.messages) == 1


@pytest.mark.parametrize("n_trials", [4, 6, 20])
def test_a_full_training_that_contradicts_the_prediction_keeps_the_proxies(
    slow_loop, n_trials, caplog
):
    """As with batches that are larger than example_inputs: steps take longer than measured."""
    result = study(0.3, counted=1).run(n_trials)
    assert result.cost.fixed_share == pytest.approx(0.22, abs=0.005)
    assert not any("is spent outside" in message for message in caplog.messages)
    assert by_rung(result, 0) == list(range(n_trials))
    assert [record.rung for record in result.records][:4] == [0, 0, 0, 1]
    first, second = by_rung(result, 1)
    left = [record.trial for record in result.leaderboard(0) if record.trial != first]
    assert second == left[0]


def test_a_short_search_makes_its_only_full_training_of_a_proxy_early(slow_loop):
    result = study(0.9, counted=2).run(6)
    assert (by_rung(result, 0), by_rung(result, 1)[1:]) == ([0, 1, 2], [3, 4, 5])
    assert "a training of the proxy takes" in result.why_full


def test_no_early_training_where_no_trial_is_left_to_begin_elsewhere(slow_loop):
    result = study(0.9, counted=2).run(3)
    assert (by_rung(result, 0), len(by_rung(result, 1))) == ([0, 1, 2], 1)


def test_a_search_in_doubt_that_is_resumed_gives_the_same_result(slow_loop, tmp_path):
    made = partial(study, 0.3, counted=1)
    resumed = run_in_parts(made, 4, {3, 4}, tmp_path / "study.db")
    assert sorted_outcomes(resumed) == sorted_outcomes(made().run(4))


def test_proxies_that_were_asked_for_are_not_doubted(slow_loop):
    result = study(0.9, counted=2, proxies=True).run(10)
    assert [record.rung for record in result.records][:8] == [0] * 8
