import numpy as np
import pytest

from proxyhpo.checks import check_whole
from proxyhpo.errors import ArgumentError
from proxyhpo.pruners.l1_structured import L1StructuredPruner
from proxyhpo.searchers.bayesian import BayesianSearcher
from proxyhpo.searchers.grid import GridSearcher
from proxyhpo.searchers.tpe import TPESearcher


@pytest.mark.parametrize("given", [2, 3, np.int64(3), np.uint8(3)])
def test_whole_numbers_are_taken_as_ints(given):
    taken = check_whole("epochs", given, 2)
    assert taken == given
    assert type(taken) is int


@pytest.mark.parametrize(
    "given", [1, -1, 2.0, np.float64(3), "3", None, True, np.True_, np.array([3])]
)
def test_all_else_is_refused_by_the_arguments_name(given):
    with pytest.raises(ArgumentError, match=r"epochs must be a whole number >= 2, got "):
        check_whole("epochs", given, 2)


@pytest.mark.parametrize(
    "make, name",
    [
        (lambda n: GridSearcher(points=n), "points"),
        (lambda n: GridSearcher(seed=n), "seed"),
        (lambda n: TPESearcher(n_initial=n), "n_initial"),
        (lambda n: TPESearcher(n_candidates=n), "n_candidates"),
        (lambda n: BayesianSearcher(n_initial=n), "n_initial"),
        (lambda n: L1StructuredPruner(round_to=n), "round_to"),
    ],
)
def test_settings_are_plain_whatever_was_given(make, name):
    assert type(getattr(make(np.int64(3)), name)) is int
    for bad in (True, 2.0, -1):
        with pytest.raises(ArgumentError, match=rf"{name} must be a whole number"):
            make(bad)
