"""Budgets in full trainings of the full network and in seconds, and the price of going on."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from proxyhpo import Choice, Float, ProxyHPO, Rung
from proxyhpo._engine.ending import _spent, interrupted
from proxyhpo._engine.limits import Limits
from proxyhpo._records.run_id import RunId
from proxyhpo.errors import ArgumentError
from proxyhpo.searchers import GridSearcher, Searcher
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


def test_a_budget_that_is_just_enough_for_all_trials_is_not_said_to_prevent_more():
    hpo = study()
    hpo.run(12)
    result = hpo.run(20, base_trainings=4.05)
    assert counts(result) == (20, 2)
    again = hpo.run(20, base_trainings=4.05)
    assert "nothing is left to train: the study already has 20 trials" in repr(again)
    assert hpo.run(20, base_trainings=50).records == result.records


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


@pytest.mark.parametrize(
    ("unfinished", "has_finalists_left", "is_spent"),
    [([], False, True), ([], True, False), ([RunId(3, 1)], False, False)],
)
def test_a_budget_is_not_called_spent_before_all_its_trainings_have_ended(
    unfinished, has_finalists_left, is_spent
):
    state = SimpleNamespace(is_closed=lambda limit, value: value <= 8, unfinished=unfinished)
    opened = SimpleNamespace(state=state, has_finalists_left=has_finalists_left)
    assert bool(_spent(opened, Limits(100, base_trainings=8))) == is_spent
    assert not _spent(opened, Limits(100, base_trainings=9))
    assert not _spent(opened, Limits(100))


@pytest.mark.parametrize(
    ("n_trials", "said"),
    [(12, "hpo.run(12, base_trainings=8) again resumes"), (13, "base_trainings=8 is spent")],
)
def test_a_budget_does_not_prevent_more_trials_if_an_interrupted_run_has_all(n_trials, said):
    state = SimpleNamespace(is_closed=lambda limit, value: True, unfinished=[])
    history = SimpleNamespace(trials=range(12))
    opened = SimpleNamespace(state=state, has_finalists_left=False, history=history)
    limits = Limits(n_trials, base_trainings=8)
    assert interrupted(opened, limits, finalists=None, is_stored=False).text.startswith(said)


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


def test_a_search_that_was_not_worth_it_says_how_to_go_on():
    hpo = study()
    result = hpo.run(200, worth=0.1)
    for same in (result, hpo.run(200, worth=0.1)):
        assert f"ended after {len(result.history.trials)} trials: a further base" in repr(same)
        assert "less than worth=0.1; to continue, pass a smaller worth or none" in repr(same)
        assert "nothing left" not in repr(same)
        assert "so continue" not in repr(same)
    assert "worth=" not in repr(hpo.run(len(result.history.trials), worth=0.1))
    assert counts(hpo.run(80)) > counts(result)


@pytest.mark.parametrize("stored", [True, False])
def test_an_interrupted_search_says_which_call_resumes_it(tmp_path, stored):
    path = {"store": tmp_path / "study.db"} if stored else {}
    hpo = study(callbacks=[lambda record: hpo.stop()], **path)
    script = ", or the same script," if stored else ""
    assert f"next         hpo.run(20) again{script} resumes the study\n" in repr(hpo.run(20))
    assert "hpo.run(20, base_trainings=30) again" in repr(hpo.run(20, base_trainings=30))
    assert f"hpo.run(20, finalists=5) again{script} resumes" in repr(hpo.run(20, finalists=5))
    n_trials = len({record.trial for record in hpo.result.records})
    assert f"hpo.run({n_trials}, finalists=5) again{script}" in repr(hpo.climb(finalists=5))


@pytest.mark.parametrize("stated", [{"proxies": False}, {"proxies": "auto", "ladder": [Rung(1)]}])
def test_a_search_on_the_full_network_alone_ends_in_time(stated, later):
    hpo = study(**stated, callbacks=[lambda record: later(record.seconds)])
    result = hpo.run(20, timeout=5200)
    assert counts(result) == (4, 0)  # 1200 s are left, too few with caution
    assert result.interrupted


def test_the_call_that_resumes_a_search_has_the_timeout_that_was_given(later):
    hpo = study(callbacks=[lambda record: later(9000)])
    assert "hpo.run(20, timeout=8000) again resumes the study\n" in repr(hpo.run(20, timeout=8000))


@pytest.mark.parametrize("n_trials", [12, 40, math.inf])
def test_a_search_without_further_configs_does_not_ask_for_more_trials(n_trials):
    space = {"x": Choice([1 - i / 12 for i in range(12)])}
    limits = {"timeout": 3600} if n_trials == math.inf else {"n_trials": n_trials}
    hpo = study(space=space, searcher="grid", proxies=False)
    for result in (hpo.run(**limits), hpo.run(**limits)):
        ended = "ended after 12 trials: the searcher has no further config to propose"
        assert (ended in repr(result)) == (n_trials > 12)
        assert n_trials == 12 or "continue" not in repr(result)
        assert n_trials == 12 or "nothing left" not in repr(result)


@pytest.mark.parametrize(
    ("n_trials", "said"),
    [
        (10, "the best config came late (trial 9), so continue: hpo.run(11)"),
        (11, "the best config came late (trial 10), so continue: hpo.run(12)"),
        (12, "the best config came late (trial 11), but the searcher has no further config"),
    ],
)
def test_no_more_trials_are_advised_than_a_grid_has(n_trials, said):
    """Of its 11 configs one more is left than trials suggest: the first trial lies outside."""

    def ever_better(network, config, trial):
        yield -trial.number

    space = {"x": Choice([i / 11 for i in range(11)]), "y": Float(0, 1)}
    hpo = study(ever_better, space, searcher=GridSearcher(points=1), proxies=False)
    hpo.enqueue({"x": 0.0, "y": 0.75})
    assert said in repr(hpo.run(n_trials))
    idle = hpo.run(n_trials).ended
    assert ("pass a larger n_trials" in idle) == (n_trials < 12)
    assert ("the searcher has no further config" in idle) == (n_trials == 12)


class Listed(Searcher):
    """Raises an exception if it is asked for more configs than the space has."""

    def propose(self, space, history, n, *, rng):
        return [next(config for config in CONFIGS if not history.has(config)) for _ in range(n)]


CONFIGS = [{"x": i / 10} for i in range(10)]


def test_a_searcher_is_not_asked_for_a_config_after_the_last_trial():
    space = {"x": Choice([config["x"] for config in CONFIGS])}
    hpo = study(space=space, searcher=Listed(), proxies=False)
    assert hpo.run(9).ending.n_further == 1
    assert hpo.run(10).ending.n_further == 0
    assert "nothing is left to train: the study already has 10 trials; the searcher has no" in (
        hpo.run(10).ended
    )


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
