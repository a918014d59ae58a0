"""CMA-ES is replayed from the history, generation by generation."""

import sys

import numpy as np
import pytest

from proxyhpo._records.history import History
from proxyhpo.errors import ArgumentError
from proxyhpo.searchers import CMAESSearcher, RandomSearcher
from proxyhpo.space import Float, Space
from proxyhpo.testing.searchers import propose, searched, tell
from tests.searchers.functions import FUNCTIONS, least_loss

SPACE = Space({"x": Float(0, 1), "y": Float(0, 1)})


def valley(config):
    """Narrow, and not along an axis."""
    along, across = config["x"] + config["y"] - 0.7, config["x"] - config["y"] + 0.3
    return along**2 + 100 * across**2


def test_a_valley_across_the_axes_is_followed():
    late = [valley(config) for config in searched(CMAESSearcher(), SPACE, 90, valley, 0)[60:]]
    assert np.median(late) < 0.5  # at random: above 10


def test_more_trials_beat_random_search():
    hart6 = FUNCTIONS["hart6"]
    assert least_loss(CMAESSearcher(), hart6, 150) < least_loss(RandomSearcher(), hart6, 150)


def history_of(losses):
    history, rng = History(), np.random.default_rng(3)
    for loss in losses:
        config = SPACE.sample(rng)
        if loss is None:
            history.add_trial(config)
        else:
            tell(history, config, loss)
    return history


@pytest.mark.parametrize(
    ("before", "after", "is_same"),
    [
        ([1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5, 6, 9, 8], True),  # not a generation of six more
        ([1, 2, 3, 4, 5, 6], [6, 5, 4, 3, 2, 1], False),
        ([1, 2, 3, 4, 5, 6], [10, 20, 30, 40, 50, 60], True),  # ranks alone count
        ([None, 2, 3, 4, 5, 6], [None, 6, 5, 4, 3, 2], True),  # it waits for the first
        ([1, 2, 3, 4, 5, 6, None], [1, 2, 3, 4, 5, 6, None, 1, 2, 3, 4, 5], True),
    ],
)
def test_complete_generations_move_the_distribution(before, after, is_same):
    first, second = (propose(CMAESSearcher(), SPACE, history_of(s), 1) for s in (before, after))
    assert (first == second) is is_same


@pytest.mark.parametrize(
    ("settings", "words"), [({"sigma": 0}, "sigma"), ({"population_size": 3}, "population_size")]
)
def test_settings_that_cannot_be_are_refused(settings, words):
    with pytest.raises(ArgumentError, match=words):
        CMAESSearcher(**settings)


def test_where_it_is_missing_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "cmaes", None)
    with pytest.raises(ImportError, match="its extra 'cmaes'"):
        CMAESSearcher()
