import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from proxyhpo._report.ranking import interval, kendall, overlap, permutation_test, regret, spearman

PAIRS = st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=3, max_size=12).map(
    lambda pairs: np.array(pairs, float).T
)
DISTINCT = st.permutations(range(10)).map(lambda x: np.array(x, float))


@given(PAIRS)
def test_correlations_are_scipys(pairs):
    x, y = pairs
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        assert math.isnan(kendall(x, y))
        assert math.isnan(spearman(x, y))
    else:
        assert kendall(x, y) == pytest.approx(scipy.stats.kendalltau(x, y).statistic)
        assert spearman(x, y) == pytest.approx(scipy.stats.spearmanr(x, y).statistic)


@given(DISTINCT, st.integers(1, 5))
def test_a_scale_that_keeps_the_order_agrees_fully(x, k):
    y = np.exp(x)
    assert kendall(x, y) == pytest.approx(1)
    assert spearman(x, -y) == pytest.approx(-1)
    assert overlap(x, y, k) == pytest.approx(1)
    assert regret(x, y, k) == 0


@given(DISTINCT, DISTINCT, st.integers(1, 9))
def test_overlap_and_regret_are_what_counting_gives(x, y, k):
    best = set(np.argsort(x)[:k])
    assert overlap(x, y, k) == pytest.approx(len(best & set(np.argsort(y)[:k])) / k)
    assert regret(x, y, k) == min(y[list(best)]) - min(y)
    assert regret(x, y, k + 1) <= regret(x, y, k)


def test_equal_losses_are_in_no_order():
    same, x = np.zeros(4), np.array([1.0, 2, 3, 4])
    assert overlap(same, x, 1) == 0.25
    assert overlap(x, same, 2) == 0.5


@given(PAIRS)
def test_rows_are_measured_one_by_one(pairs):
    x, y = pairs
    rows = np.stack([x, y]), np.stack([y, y])
    for measure in (kendall, spearman, lambda a, b: overlap(a, b, 2), lambda a, b: regret(a, b, 2)):
        each = [measure(a, b) for a, b in zip(*rows, strict=True)]
        assert measure(*rows) == pytest.approx(each, nan_ok=True)


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(100):
        x, noise = rng.standard_normal((2, 40))
        low, high = interval(spearman, x, x + noise)
        covered += low <= 0.69 <= high  # rho of a normal pair whose correlation is sqrt(1/2)
    assert covered >= 85


@given(PAIRS)
def test_intervals_repeat_and_are_ordered(pairs):
    first, second = interval(spearman, *pairs), interval(spearman, *pairs)
    assert first == pytest.approx(second, nan_ok=True)
    assert not first[0] > first[1]


def test_without_a_relation_the_test_rejects_as_often_as_its_level_says():
    rng = np.random.default_rng(0)
    values = [permutation_test(*rng.standard_exponential((2, 10))) for _ in range(400)]
    for level in (0.05, 0.2, 0.5):
        assert np.mean(np.array(values) <= level) == pytest.approx(level, abs=0.075)


@given(DISTINCT, DISTINCT, st.sampled_from([0.5, 3.0]), st.sampled_from([-7.0, 2.0]))
def test_the_p_value_does_not_depend_on_the_units(x, y, scale, shift):
    assert permutation_test(scale * x + shift, y) == permutation_test(x, y)


def test_a_loss_that_explodes_does_not_decide():
    x = np.array([*range(11), 1e12])
    y = np.array([*range(11, 0, -1), 1e12])
    assert np.corrcoef(x, y)[0, 1] > 0.99
    assert permutation_test(x, y) > 0.5
