"""Some trials climb before all are known: so a best config is known early."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from proxyhpo import Float, ProxyHPO, Rung
from tests.engine.test_ordered import Shuffling
from tests.engine.test_resume import run_in_parts
from tests.studies import sorted_outcomes


def build():
    return nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 2))


def train(network, config):
    yield config["x"]


def study(train=train, **options):
    options = {"direction": "minimize", "progress": False, "searcher": "random", **options}
    options = {"transfer": "identity", "stopper": None, "proxies": True, "repeats": 0, **options}
    return ProxyHPO(build, train, {"x": Float(0, 1)}, example_inputs=torch.zeros(8, 6), **options)


def order(result):
    """The (trial, rung) of every training, in the order in which they ended."""
    return [(record.trial, record.rung) for record in result.records]


def best_of(result, trials, *, without=()):
    losses = {r.trial: r.loss for r in result.records if r.rung == 0 and r.loss is not None}
    return min((t for t in trials if t in losses and t not in without), key=losses.__getitem__)


def test_the_best_so_far_climbs_after_8_and_16_trials_and_two_more_at_the_end():
    result = study().run(40)
    runs = order(result)
    first = best_of(result, range(8))
    second = best_of(result, range(16), without=[first])
    third = best_of(result, range(40), without=[first, second])
    fourth = best_of(result, range(40), without=[first, second, third])
    climbed = {place: trial for place, (trial, rung) in enumerate(runs) if rung}
    assert (climbed.pop(8), climbed.pop(17)) == (first, second)
    assert set(climbed.values()) == {third, fourth}
    assert min(climbed) > 40  # the last trial may be known not to matter


def test_a_best_config_is_known_after_the_first_8_trials():
    hpo = study(callbacks=[lambda record: hpo.stop() if record.rung else None])
    result = hpo.run(40)
    assert len(result.records) == 9
    assert result.best_config == result.leaderboard(0)[0].config


@pytest.mark.parametrize(
    ("n_trials", "finalists", "early"),
    [(9, 1, 0), (12, 2, 1), (30, 3, 1), (40, 4, 2), (80, 5, 3)],
)
def test_how_many_climb_and_when_follows_from_the_number_of_trials(n_trials, finalists, early):
    climbed = [place for place, run in enumerate(order(study().run(n_trials))) if run[1]]
    assert len(climbed) == finalists
    assert sum(place < n_trials for place in climbed) == early


def test_a_search_with_a_budget_promotes_at_each_doubling_and_two_at_its_end():
    def timed(network, config):
        yield {"value": config["x"], "seconds": 1000 if network[0].out_features == 32 else 100}

    result = study(timed).run(base_trainings=15)
    n_trials = sum(rung == 0 for _, rung in order(result))
    assert 64 < n_trials < 128
    expected = []
    for point in (8, 16, 32, 64, n_trials, n_trials):
        expected.append(best_of(result, range(point), without=expected))
    assert [trial for trial, rung in order(result) if rung] == expected


def test_a_given_number_of_finalists_is_as_given_and_half_of_them_may_climb_early():
    result = study(finalists=2).run(9)
    first = best_of(result, range(8))
    assert order(result)[8] == (first, 1)
    assert [trial for trial, rung in order(result) if rung] == [
        first,
        best_of(result, range(9), without=[first]),
    ]


def test_a_ladder_that_was_given_lets_the_best_of_all_climb():
    result = study(ladder=[Rung(0.25, keep=2), Rung(1)]).run(12)
    best = {record.trial for record in result.leaderboard(0)[:2]}
    assert {trial for trial, rung in order(result) if rung} == best


def test_an_early_one_that_fails_is_replaced_at_once():
    def failing(network, config):
        if network[0].out_features == 32 and not failed:
            failed.append(config["x"])
            raise RuntimeError
        yield config["x"]

    failed = []
    result = study(failing).run(24)
    first = best_of(result, range(8))
    second = best_of(result, range(8), without=[first])
    assert order(result)[8:10] == [(first, 1), (second, 1)]
    assert sum(rung for _, rung in order(result)) == 3


def test_more_trials_let_new_ones_climb():
    hpo = study()
    first = hpo.run(20)
    result = hpo.run(40)
    before = {trial for trial, rung in order(first) if rung}
    later = [trial for trial, rung in order(result)[len(first.records) :] if rung]
    assert (len(before), len(later)) == (2, 2)
    assert best_of(result, range(40), without=before) in later


@pytest.mark.parametrize("executor", [None, Shuffling], ids=["one", "three, ordered"])
@settings(max_examples=3)
@given(seed=st.integers(0, 99), stops=st.sets(st.integers(1, 26), min_size=1, max_size=6))
def test_resumed_equals_uninterrupted(tmp_path_factory, executor, seed, stops):
    def made(**options):
        parallel = {} if executor is None else {"executor": Shuffling(seed), "ordered": True}
        return study(seed=seed, **parallel, **options)

    straight = made().run(22)
    result = run_in_parts(made, 22, stops, tmp_path_factory.mktemp("study") / "study.db")
    assert sorted_outcomes(result) == sorted_outcomes(straight)
    if executor is None:
        assert order(result) == order(straight)


@settings(max_examples=2)
@given(st.integers(0, 99))
def test_who_climbs_early_does_not_depend_on_which_training_ends_first(seed):
    results = [study(executor=Shuffling(s), ordered=True).run(20) for s in (seed, seed + 1)]
    assert sorted_outcomes(results[0]) == sorted_outcomes(results[1])
