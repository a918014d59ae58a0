"""Quasi-random search fills the space more evenly than random search."""

import numpy as np
from scipy.stats import qmc

from proxyhpo.searchers import QMCSearcher, RandomSearcher
from proxyhpo.space import Float, Space
from proxyhpo.testing.searchers import searched

SPACE = Space({"x": Float(0, 1), "y": Float(0, 1), "z": Float(0, 1)})


def points(searcher, n):
    return np.array([list(c.values()) for c in searched(searcher, SPACE, n, lambda _: 0.0, 0)])


def test_its_points_are_those_of_the_sequence_in_order_and_spread_evenly():
    found = points(QMCSearcher(seed=4), 32)
    expected = qmc.Sobol(3, seed=4).random(32)
    assert np.allclose(found, expected)
    assert qmc.discrepancy(found) < qmc.discrepancy(points(RandomSearcher(), 32)) / 2


def test_its_seed_scrambles_it():
    assert not np.allclose(points(QMCSearcher(seed=1), 4), points(QMCSearcher(seed=2), 4))
