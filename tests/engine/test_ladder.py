import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxyhpo._engine.ladder import (
    check_ladder,
    default_ladder,
    early_climbs,
    finalists_of,
    with_finalists,
)
from proxyhpo._records.rung import Rung
from proxyhpo.errors import ArgumentError


@pytest.mark.parametrize(
    ("ladder", "words"),
    [
        ([], "last rung must be the full network"),
        ([Rung(0.5, keep=2)], "last rung must be the full network"),
        ([Rung(0.5, keep=2), Rung(1, budget=0.5)], "last rung must be the full network"),
        ([Rung(0.5), Rung(1)], "rung 0 needs keep=, the number of trials"),
        ([Rung(0.5, keep=2), Rung(1, keep=1)], "the last rung must not have keep=, got 1"),
        ([Rung(0.5, keep=2), Rung(0.7, keep=3), Rung(1)], "keeps 3, more than the 2"),
        (
            [Rung(0.5, keep=3), Rung(0.25, keep=2), Rung(1)],
            r"rung 1 is cheaper than rung 0, got \[Rung\(density=0.5",
        ),
        ([0.5, 1], "entry 0 must be a Rung"),
    ],
)
def test_refuses_what_cannot_be_climbed(ladder, words):
    with pytest.raises(ArgumentError, match=words):
        check_ladder(ladder, takes_budget=True)


def test_a_small_budget_needs_a_training_that_can_be_shorter():
    ladder = [Rung(0.5, budget=0.3, keep=1), Rung(1)]
    assert check_ladder(ladder, takes_budget=True) == tuple(ladder)
    with pytest.raises(ArgumentError, match="train has no parameter `budget`"):
        check_ladder(ladder, takes_budget=False)


def test_ladders_over_width_length_or_both_are_accepted():
    for ladder in (
        [Rung(1)],
        [Rung(1, budget=0.1, keep=5), Rung(1)],
        [Rung(0.25, budget=0.3, keep=9), Rung(0.25, keep=5), Rung(0.5, keep=2), Rung(1)],
        [Rung(cost=0.1, keep=3), Rung(1)],
    ):
        assert check_ladder(ladder, takes_budget=True) == tuple(ladder)


def test_finalists_are_let_through_all_the_way():
    ladder = (Rung(0.25, keep=4), Rung(0.5, keep=2), Rung(1))
    assert with_finalists(ladder, 6) == (Rung(0.25, keep=6), Rung(0.5, keep=6), Rung(1))
    assert with_finalists(ladder, 1) == (Rung(0.25, keep=4), Rung(0.5, keep=1), Rung(1))
    with pytest.raises(ArgumentError, match="finalists"):
        with_finalists(ladder, 0)
    with pytest.raises(ArgumentError, match="one rung"):
        with_finalists((Rung(1),), 2)


def test_the_default_ladder_has_a_proxy_and_the_full_network():
    assert default_ladder(0.125, None) == [Rung(0.125, keep=4), Rung(1)]
    assert default_ladder(0.5, 10) == [Rung(0.5, keep=10), Rung(1)]


@pytest.mark.parametrize("density", [0, 0.0, False, 2])
def test_a_density_that_cannot_be_is_not_taken_for_none(density):
    with pytest.raises(ArgumentError, match="density"):
        default_ladder(density, None)


@given(st.integers(1, 200))
def test_short_searches_have_few_finalists(n_trials):
    found = finalists_of(n_trials)
    assert found <= finalists_of(n_trials + 1) <= found + 1
    assert found <= max(2, n_trials / 10)
    assert found >= min(4, n_trials // 10)
    early = early_climbs(found, n_trials)
    assert all(8 <= point < n_trials for point in early)
    assert found - len(early) == max(1, min(2, found // 2 + found % 2))


def test_without_a_limit_trials_are_promoted_at_each_doubling():
    assert early_climbs(finalists_of(math.inf), math.inf)[:5] == (8, 16, 32, 64, 128)
