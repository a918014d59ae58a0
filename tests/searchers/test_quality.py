"""Searchers find good configs of public functions with few evaluations.

Thresholds are those of hyperopt's own tests of TPE; a median over five seeds has to meet them,
there with hyperopt's counts of evaluations, and for Bayesian optimization with fewer.
"""

import functools

import pytest

from proxyhpo.searchers.bayesian import BayesianSearcher
from proxyhpo.searchers.random import RandomSearcher
from proxyhpo.searchers.tpe import TPESearcher
from tests.searchers.functions import FUNCTIONS, least_loss

EVALUATIONS = {
    TPESearcher: {
        "quadratic1": 400,
        "q1_lognormal": 250,
        "distractor": 100,
        "gauss_wave2": 75,
        "n_arms": 50,
        "branin": 200,
        "hart6": 120,
    },
    BayesianSearcher: {
        "quadratic1": 20,
        "q1_lognormal": 20,
        "distractor": 24,
        "gauss_wave2": 24,
        "n_arms": 50,
        "branin": 24,
        "hart6": 28,
    },
}

# The runs are shared between tests, so one process should do all of a searcher.
SEARCHERS = [pytest.param(s, marks=pytest.mark.xdist_group(s.__name__)) for s in EVALUATIONS]


@functools.cache
def least(searcher, name, n_trials):
    return least_loss(searcher(), FUNCTIONS[name], n_trials)


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
@pytest.mark.parametrize("searcher", SEARCHERS)
def test_meets_the_threshold(searcher, name):
    assert least(searcher, name, EVALUATIONS[searcher][name]) <= FUNCTIONS[name].threshold


@pytest.mark.parametrize("searcher", SEARCHERS)
def test_beats_random_search_on_most(searcher):
    wins = [
        least(searcher, name, n_trials) < least(RandomSearcher, name, n_trials)
        for name, n_trials in EVALUATIONS[searcher].items()
    ]
    assert sum(wins) > 0.7 * len(wins)
