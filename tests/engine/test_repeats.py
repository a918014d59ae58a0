"""The best two are trained under a second seed, and under further ones if chance may decide."""

import itertools
import re
from statistics import fmean

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from proxyhpo import Float, ProxyHPO, Rung, load_study
from proxyhpo._engine.standing import Noise, noise_of, standings
from proxyhpo._records.records import Record
from proxyhpo._records.report import Report
from tests.engine.test_early import order
from tests.engine.test_ordered import Shuffling
from tests.engine.test_resume import run_in_parts
from tests.studies import sorted_outcomes


def build():
    return nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 2))


def noisy(network, config):
    """Reports that scatter by about 1, around values that differ by less."""
    for _ in range(4):
        yield config["x"] + torch.randn(()).item()


def study(train=noisy, **options):
    options = {"direction": "minimize", "progress": False, "searcher": "random", **options}
    options = {"transfer": "identity", "stopper": None, "density": 0.25, "repeats": 2, **options}
    return ProxyHPO(build, train, {"x": Float(0, 1)}, example_inputs=torch.zeros(8, 6), **options)


def timed_study(seconds_of_a_proxy=lambda: 100, **options):
    """A default search whose full trainings say that they take 1000 seconds."""

    def timed(network, config):
        seconds = 1000 if network[0].out_features == 32 else seconds_of_a_proxy()
        for value in noisy(network, config):
            yield {"value": value, "seconds": seconds}

    return study(timed, density=None, proxies=True, repeats=None, **options)


def seeds(result):
    """The replicates of each trial of the full network."""
    found = {}
    for record in result.records:
        if record.rung == 1:
            found.setdefault(record.trial, []).append(record.replicate)
    return found


def test_the_best_two_are_trained_once_more_and_the_mean_decides():
    result = study().run(20)
    once = [record for record in result.records if record.rung == 1 and not record.replicate]
    best_two = {r.trial for r in sorted(once, key=lambda record: record.loss)[:2]}
    assert {trial for trial, which in seeds(result).items() if which == [0, 1]} == best_two
    means = {t: fmean(r.value for r in result.records if (r.trial, r.rung) == (t, 1))
             for t in seeds(result)}  # fmt: skip
    assert result.best_record.trial == min(means, key=means.__getitem__)
    assert result.best_value == pytest.approx(min(means.values()))
    assert result.leaderboard()[0].trial == result.best_record.trial
    titles, first, *_ = str(result.leaderboard()).splitlines()
    assert titles.split() == ["trial", "seed", "mean", "value", "state", "seconds", "config"]
    assert first.split()[:3] == [str(result.best.trial), "0", f"{result.best_value:.6g}"]
    assert "<th>mean</th>" in result._repr_html_()
    assert re.findall(r"<tr><td>(\d+)</td>", result._repr_html_()) == ["1", "1", "2", "2"]
    assert "mean" not in str(result.leaderboard(0))
    assert result.cost.rungs[1].runs == 4
    assert "rung 1: 2 of these trainings (" in result.ledger()
    assert "repeat the best trials under further seeds" in result.ledger()
    assert "further seeds" not in study(repeats=0).run(3).ledger()


def test_another_seed_makes_another_network_and_another_training():
    result = study().run(20)
    runs = [r.values for r in result.records if (r.trial, r.rung) == (result.best.trial, 1)]
    assert len(set(runs)) == len(runs)


@pytest.mark.parametrize(("trials", "runs"), [(29, 2), (30, 5)])
def test_a_short_search_has_none_by_default(trials, runs):
    assert sum(record.rung for record in study(repeats=None).run(trials).records) == runs


def test_a_search_that_goes_on_repeats_its_new_best_two():
    """Trainings become better with time, so the best two are always among the last ones."""
    times = itertools.count()
    hpo = study(lambda network, config: -next(times) + torch.rand(()).item(), repeats=None)
    first = hpo.run(30)
    assert sum(record.replicate for record in first.records) == 2
    result = hpo.run(60)
    again = [record for record in result.records[len(first.records) :] if record.replicate]
    assert {record.trial for record in again} == {each.trial for each in result.top(2)}
    assert {record.trial for record in again} != {each.trial for each in first.top(2)}
    assert hpo.run(60).records == result.records


def test_a_search_that_goes_on_in_many_small_runs_repeats_no_larger_share():
    hpo = study(repeats=None)
    made = [sum(r.replicate > 0 for r in hpo.run(n).records) for n in range(29, 61)]
    assert made == [0, *[2] * 30, 4]


@pytest.mark.parametrize(("repeats", "runs"), [(0, 2), (1, 3), (4, 6)])
def test_how_many_there_are_at_most_can_be_set(repeats, runs):
    assert sum(record.rung for record in study(repeats=repeats).run(20).records) == runs


@pytest.mark.parametrize(
    ("limit", "runs"),
    [
        ({"base_trainings": 7.9}, 0),  # 3 for all proxies, 3 for the finalists
        ({"base_trainings": 8.1}, 2),
        ({"timeout": 3000}, 0),  # 1100 for what is left, 2500 for both with caution
        ({"timeout": 3800}, 2),
    ],
)
def test_both_or_none_where_time_or_budget_is_limited(limit, runs, later):
    hpo = timed_study(callbacks=[lambda record: later(record.seconds)])
    hpo.run(29)
    result = hpo.run(30, **limit)
    assert sum(record.replicate for record in result.records) == runs
    left_out = f"not trained with more seeds, because too little of {next(iter(limit))} was left"
    assert (left_out in repr(result)) == (runs == 0)
    assert not result.interrupted


@pytest.mark.parametrize(
    ("limit", "named"),
    [
        ({"base_trainings": 8}, "base_trainings"),
        ({"timeout": 9000}, "timeout"),
        ({"base_trainings": 8, "timeout": 1e6}, "base_trainings"),
        ({"base_trainings": 100, "timeout": 9000}, "timeout"),
    ],
)
def test_repeats_that_a_limit_left_out_are_made_by_the_call_that_is_named(limit, named, later):
    hpo = timed_study(callbacks=[lambda record: later(record.seconds)])
    result = hpo.run(**limit)
    n_trials = len({record.trial for record in result.records})
    left_out = f"because too little of {named} was left; hpo.run({n_trials}) trains them"
    assert left_out in repr(result)
    assert "ProxyHPO(..., repeats=" not in repr(result)  # which would train everything again
    after = hpo.run(n_trials)
    made = after.records[len(result.records) :]
    assert [record.replicate for record in made] == [1, 1]
    assert "because too little of" not in repr(after)


@pytest.mark.parametrize(
    ("finalists", "controls", "budget", "full", "said"),
    [
        (None, 0, 11, 3, "finalists were trained on the full network; hpo.run(40)"),
        (8, 0, 13, 7, "finalists were trained on the full network; hpo.run(40, finalists=8)"),
        (None, 2, 16, 4, "finalists and controls were trained on the full network; hpo.run(40)"),
    ],
)
def test_repeats_are_not_said_to_be_all_that_a_limit_left_out(
    finalists, controls, budget, full, said
):
    """The last trial spends the budget before the last one on the full network is trained."""
    ended = []

    def seconds_of_a_proxy():
        return 9000 if sum(record.rung == 0 for record in ended) == 39 else 100

    hpo = timed_study(seconds_of_a_proxy, callbacks=[ended.append], controls=controls)
    result = hpo.run(40, base_trainings=budget, finalists=finalists)
    assert sum(record.rung for record in result.records) == full
    assert "because too little of" not in repr(result)
    assert f"base_trainings was spent before all {said} trains the others" in repr(result)
    assert "ProxyHPO(..., repeats=" not in repr(result)
    after = hpo.run(40, finalists=finalists)
    assert sum(record.rung for record in after.records) == (finalists or 4) + controls + 2
    assert "was spent" not in repr(after)


def smooth(network, config):
    """Curves that do not show how much their ends depend on the seed."""
    end = config["x"] + torch.randn(()).item()
    for step in (3, 2, 1, 0):
        yield end + step / 10


def single(network, config):
    return config["x"] + torch.randn(()).item()


@pytest.mark.parametrize("train", [smooth, single])
def test_the_noise_of_a_seed_is_seen_only_between_seeds(train):
    result = study(train).run(20)
    assert sorted(map(len, seeds(result).values())) == [2, 2]


def test_none_after_the_first_two_where_the_difference_is_clear():
    def clear(network, config):
        return config["x"] + 1e-6 * torch.randn(()).item()

    assert sorted(map(len, seeds(study(clear, repeats=6).run(20)).values())) == [2, 2]


def test_a_ladder_that_was_given_has_none_unless_asked_for():
    ladder = [Rung(0.25, keep=3), Rung(1)]
    given = {"ladder": ladder, "density": None}
    assert not any(record.replicate for record in study(**given, repeats=None).run(30).records)
    assert any(record.replicate for record in study(**given).run(9).records)
    plain = study(ladder=[Rung(1)], density=None, repeats=2).run(5)
    assert sum(record.replicate for record in plain.records) == 2


def test_the_weights_are_those_of_the_best_trial_whichever_wins(tmp_path):
    def marked(network, config):
        for _ in range(3):
            value = config["x"] + torch.randn(()).item()
            with torch.no_grad():
                network[0].bias.fill_(value)
            yield value

    for seed in range(4):
        result = study(marked, seed=seed, store=tmp_path / f"{seed}.db").run(20)
        for found in (result, load_study(tmp_path / f"{seed}.db")):
            weights = found.best_weights()
            assert weights["0.bias"][0].item() == pytest.approx(found.best_record.value)
        own = [r for r in result.records if (r.trial, r.rung) == (result.best.trial, 1)]
        assert result.best_record == min(own, key=lambda record: record.loss)


@pytest.mark.parametrize("executor", [None, Shuffling], ids=["one", "three, ordered"])
@settings(max_examples=2)
@given(seed=st.integers(0, 99), stops=st.sets(st.integers(9, 15), min_size=2, max_size=3))
def test_resumed_equals_uninterrupted(tmp_path_factory, executor, seed, stops):
    def made(**options):
        parallel = {} if executor is None else {"executor": Shuffling(seed), "ordered": True}
        return study(seed=seed, **parallel, **options)

    straight = made().run(11)
    result = run_in_parts(made, 11, stops, tmp_path_factory.mktemp("study") / "study.db")
    assert sorted_outcomes(result) == sorted_outcomes(straight)
    assert result.best_value == straight.best_value
    assert executor is not None or order(result) == order(straight)
    best, expected = result.best_weights(), straight.best_weights()
    assert all(torch.equal(best[name], expected[name]) for name in expected)


def test_asked_for_like_any_other_training():
    hpo = study()
    told = []
    while (asked := hpo.ask(10)) is not None:
        torch.manual_seed(asked.seed)
        told.append((asked.trial, asked.density, [torch.randn(()).item() for _ in range(4)]))
        hpo.tell(asked, told[-1][2])
    last = {}
    for trial, density, values in told:
        if density == 1:
            last.setdefault(trial, []).append(values[-1])
    assert sorted(map(len, last.values())) == [2, 2]
    assert hpo.result.best_value == pytest.approx(min(map(fmean, last.values())))


def record(trial, *values, replicate=0):
    reports = tuple(Report(value) for value in values)
    return Record(trial, 1, replicate, {}, {}, "finished", values[-1], values[-1], reports)


def test_noise_is_the_standard_deviation_between_seeds():
    one_each = [record(0, 0.0, 3.0, 1.0), record(1, 2.0)]
    assert noise_of(standings(one_each, 1)) is None
    pair = [*one_each, record(0, 2.0, replicate=1)]
    assert noise_of(standings(pair, 1)) == Noise(pytest.approx(0.5**0.5), trainings=2, trials=1)
    pairs = [*pair, record(1, 3.0, replicate=1), record(1, 4.0, replicate=2)]
    assert noise_of(standings(pairs, 1)) == Noise(pytest.approx((2.5 / 3) ** 0.5), 5, 2)


def test_chance_explains_a_difference_that_noise_explains_or_that_may_be_noise():
    first, second = standings([record(0, 1.0), record(1, 2.0)], 1)
    assert first.is_near(second, None)
    assert first.is_near(second, Noise(0.37, 1000, 2))
    assert not first.is_near(second, Noise(0.35, 1000, 2))
    assert first.is_near(first, Noise(0.0, 4, 2))


@pytest.mark.parametrize(
    ("n_trials", "n_seeds", "quantile"), [(1, 2, 12.71), (2, 2, 4.303), (2, 4, 2.447)]
)
def test_chance_explains_a_twentieth_of_the_differences_between_equal_trials(
    n_trials, n_seeds, quantile
):
    """As many as 95 % certainty allows, however few trainings the noise is estimated from."""
    assert Noise(1.0, n_trials * n_seeds, n_trials).margin(n_seeds, n_seeds) == pytest.approx(
        quantile * (2 / n_seeds) ** 0.5, rel=1e-3
    )
    rng, explained = np.random.default_rng(0), []
    for _ in range(400):
        values = rng.normal(size=(2, n_seeds))
        records = [
            record(trial, value, replicate=seed)
            for trial in range(2)
            for seed, value in enumerate(values[trial])
        ]
        first, second = standings(records, 1)
        explained.append(first.is_near(second, noise_of([first, second][:n_trials])))
    assert 0.92 <= fmean(explained) <= 0.98
