"""Budgets in full trainings of the full network and in seconds, and the price of going on."""

import math

import pytest
import torch
from torch import nn

from proxyhpo import Float, ProxyHPO, Rung
from proxyhpo.errors import ArgumentError
from tests.engine.test_ordered import Shuffling
from tests.studies import outcomes

FULL, PROXY = 1000.0, 100.0
"""Seconds of a training, as it says itself; far above what anything else here takes."""


def build():
    return nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 2))


def train(network, config):
    seconds = FULL if network[0].out_features == 32 else PROXY
    yield {"value": config["x"], "seconds": seconds}


def study(train=train, space=None, **options):
    options = {"direction": "minimize", "progress": False, "searcher": "random", **options}
    options = {"transfer": "identity", "proxies": True, **options}
    space = space or {"x": Float(0, 1)}
    return ProxyHPO(build, train, space, example_inputs=torch.zeros(8, 6), **options)


def counts(result):
    return tuple(sum(record.rung == rung for record in result.records) for rung in (0, 1))


@pytest.mark.parametrize("budget", [2, 3, 5, 8])
def test_a_budget_is_spent_and_hardly_exceeded(budget):
    result = study().run(base_trainings=budget)
    one_more = 1.1  # a trial that allows one more finalist
    assert budget - one_more - 0.01 < result.cost.base_trainings < budget + 1
    assert not result.interrupted
    assert result.best_value == result.leaderboard()[0].value


def test_what_the_finalists_cost_is_kept_back():
    result = study().run(base_trainings=8.1)
    assert counts(result) == (pytest.approx(32, abs=3), 5)


def test_more_budget_resumes_the_search():
    hpo = study()
    first = hpo.run(base_trainings=3)
    second = hpo.run(base_trainings=6)
    assert second.records[: len(first.records)] == first.records
    assert 5 < second.cost.base_trainings < 7
    assert counts(second)[0] > counts(first)[0]
    again = hpo.run(base_trainings=6)
    assert again.cost.base_trainings <= 7


def rising(network, config, trial):
    """Each trial is better than the ones before; full trainings of later ones take longer."""
    full = FULL if trial.number < 16 else 3 * FULL
    yield {"value": -trial.number, "seconds": full if trial.rung else PROXY}


def test_the_end_of_a_search_is_kept_when_it_is_resumed_or_run_again():
    """The last full trainings change what a base training is known to take, and so the budget."""
    hpo = study(rising)
    hpo.run(12)
    straight = hpo.run(base_trainings=8)
    for budget in (8, 7):
        assert hpo.run(base_trainings=budget).records == straight.records
    stopped = study(rising, callbacks=[lambda record: stopped.stop() if record.rung else None])
    for limits in [{"n_trials": 12}] * 4 + [{"base_trainings": 8}] * 6:
        result = stopped.run(**limits)
    assert not result.interrupted
    assert outcomes(result) == outcomes(straight)
    assert len(hpo.run(base_trainings=11).records) > len(straight.records)


@pytest.mark.parametrize("ordered", [False, True])
def test_whether_it_ends_is_decided_after_an_interrupted_training_as_without_the_interrupt(ordered):
    """Before its end, that training would count as one more finalist to pay for."""
    interrupted = []

    def train(network, config, trial):
        slow = trial.rung and trial.number >= 12
        if slow and not interrupted:
            interrupted.append(trial)
            yield -trial.number
            hpo.stop()
        full = 3 * FULL if slow else FULL
        yield {"value": -trial.number, "seconds": full if trial.rung else PROXY}

    hpo = study(train, ordered=ordered)
    hpo.run(12)
    assert hpo.run(base_trainings=6.4).interrupted
    result = hpo.run(base_trainings=6.4)
    hpo = study(train, ordered=ordered)
    hpo.run(12)
    assert outcomes(result) == outcomes(hpo.run(base_trainings=6.4))


def test_a_number_of_trials_ends_it_before():
    result = study().run(10, base_trainings=50)
    assert counts(result) == (10, 2)
    assert not result.interrupted
    hpo = study()
    short, again = hpo.run(100, base_trainings=3), hpo.run(100, base_trainings=3)
    assert short.cost.base_trainings < 4
    assert again.records == short.records
    for result in (short, again):
        assert result.interrupted
        assert "base_trainings=3 is spent, or too little of it is left for" in repr(result)
        assert "nothing is left to train" not in repr(result)


def test_an_interrupt_while_finalists_are_trained_is_resumed_by_the_same_call():
    def stop_at_the_first_finalist_after_the_last_trial(record):
        if record.rung and hpo._open_study.study.state.is_closed("base_trainings", 8):
            hpo.stop()

    ladder = [Rung(0.25, keep=4), Rung(1)]
    hpo = study(ladder=ladder, callbacks=[stop_at_the_first_finalist_after_the_last_trial])
    hpo.run(4)  # the first full trainings, so that the budget does not depend on predicted times
    result = hpo.run(100, base_trainings=8)
    assert "hpo.run(100, base_trainings=8) again resumes the study" in repr(result)
    assert "is spent" not in repr(result)
    for _ in range(4):
        result = hpo.run(100, base_trainings=8)
    assert "base_trainings=8 is spent" in repr(result)


@pytest.mark.parametrize("ordered", [True, False])
def test_workers_share_it(ordered):
    class Three(Shuffling):
        ahead = 0

    result = study(executor=Three(0), ordered=ordered).run(base_trainings=5)
    assert result.cost.base_trainings < 6.5
    assert counts(result)[1] >= 2


def test_a_timeout_needs_no_number_of_trials(later):
    result = study(callbacks=[lambda record: later(record.seconds)]).run(timeout=10 * FULL)
    assert counts(result)[1] >= 1
    assert 9 * FULL < sum(record.seconds for record in result.records) < 12 * FULL


def test_something_must_end_a_search():
    with pytest.raises(ArgumentError, match="pass n_trials, base_trainings or timeout"):
        study().run()


@pytest.mark.parametrize("argument", ["base_trainings", "worth"])
@pytest.mark.parametrize("value", [0, -1, math.nan, "8", True])
def test_bad_budgets_are_refused(argument, value):
    with pytest.raises(ArgumentError, match=argument):
        study().run(9, **{argument: value})


def test_a_search_ends_when_one_more_training_is_not_worth_it():
    worth = study().run(200, worth=0.1)
    assert 10 <= counts(worth)[0] < 60
    assert not worth.interrupted
    less = study().run(200, worth=1e-3)
    assert counts(less)[0] > counts(worth)[0]


@pytest.mark.parametrize("stated", [{"proxies": False}, {"proxies": "auto", "ladder": [Rung(1)]}])
def test_a_search_on_the_full_network_alone_ends_in_time(stated, later):
    hpo = study(**stated, callbacks=[lambda record: later(record.seconds)])
    result = hpo.run(20, timeout=5200)
    assert counts(result) == (4, 0)  # 1200 s are left, too few with caution
    assert result.interrupted


def test_why_no_more_trials_start_is_logged_once(caplog):
    ladder = [Rung(0.25, keep=3), Rung(1)]  # the full network is trained at the end only
    with caplog.at_level("INFO", logger="proxyhpo"):
        study(ladder=ladder).run(200, worth=0.1)
    assert caplog.text.count("no new trials start: the limit worth=0.1 is reached") == 1


def test_that_decision_is_kept():
    def varying(network, config):
        """Makes the full trainings of finalists change what a base training is known to take."""
        full = network[0].out_features == 32
        yield {"value": config["x"], "seconds": FULL * (0.1 + 5 * config["x"]) if full else PROXY}

    hpo = study(varying, seed=1)
    first = hpo.run(200, worth=0.05)
    assert hpo.run(200, worth=0.05).records == first.records
    assert hpo.run(200, worth=0.2).records == first.records
    assert len(hpo.run(12, worth=1e-4).records) > len(first.records)
