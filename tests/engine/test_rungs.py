"""Ladders of one, two and three rungs, climbed by whole studies."""

import pytest

from proxyhpo import Rung
from tests.studies import outcomes, quality, study, width


def test_the_whole_way():
    result = study(ladder=[Rung(0.25, keep=2), Rung(1)]).run(12)
    assert sorted(record.rung for record in result.records) == [0] * 12 + [1] * 2
    best_two = {record.trial for record in result.leaderboard(0)[:2]}
    assert {record.trial for record in result.leaderboard()} == best_two
    assert result.best_value == max(r.value for r in result.records if r.rung == 1)
    assert result.best_value == pytest.approx(quality(result.best_config))


def test_n_trials_is_a_total_and_earlier_promotions_stay():
    hpo = study(ladder=[Rung(0.25, keep=2), Rung(1)])
    first, second = hpo.run(6), hpo.run(12)
    assert outcomes(second)[:8] == outcomes(first)
    assert sum(record.rung == 0 for record in second.records) == 12
    best_two = {record.trial for record in second.leaderboard(0)[:2]}
    assert best_two <= {record.trial for record in second.leaderboard(1)}


def test_plain_search_is_a_ladder_of_one_rung():
    result = study(ladder=[Rung(1)]).run(5)
    assert [record.rung for record in result.records] == [0] * 5
    assert result.best_value == max(record.value for record in result.records)
    assert result.records[0].trained_config == result.records[0].config


def test_three_rungs_with_budgets():
    budgets = []

    def train(network, config, budget):
        budgets.append((width(network), budget))
        return quality(config)

    ladder = [Rung(0.25, budget=0.5, keep=4), Rung(0.5, keep=2), Rung(1)]
    result = study(train, ladder=ladder).run(9)
    assert sorted(budgets) == [(8, 0.5)] * 9 + [(16, 1.0)] * 4 + [(32, 1.0)] * 2
    assert [(a.lower, a.upper, a.n) for a in result.fidelity] == [(0, 1, 4), (1, 2, 2), (0, 2, 2)]


def test_steps_cut_a_training_that_takes_no_budget():
    closed = []

    def train(network, config):
        try:
            for value in range(10):
                yield float(value)
        finally:
            closed.append(value)

    ladder = [Rung(0.5, budget=0.3, keep=1), Rung(1)]
    result = study(train, ladder=ladder, steps=10).run(2)
    assert sorted(len(record.reports) for record in result.records) == [3, 3, 10]
    assert sorted(closed) == [2, 2, 9]
