"""Optuna's distributions and the hyperparameters of a space say the same."""

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from proxyhpo import Choice, Float, Int
from proxyhpo.errors import SpaceError
from proxyhpo.integrations.optuna._distributions import (
    are_alike,
    choice_of,
    distribution_of,
    number_of,
)

INTS = st.builds(
    lambda low, n, step, log: Int(
        low, low + n * step, **({"log": True} if log else {"step": step})
    ),
    st.integers(1, 100),
    st.integers(0, 20),
    st.integers(1, 5),
    st.booleans(),
)
FLOATS = st.builds(
    lambda low, width, log: Float(low, low + width, log=log),
    st.floats(0.001, 100),
    st.floats(0, 100),
    st.booleans(),
)


@settings(max_examples=30)
@given(INTS | FLOATS)
def test_a_range_survives_the_way_there_and_back(domain):
    assert number_of(distribution_of(domain)) == domain


def test_a_step_that_does_not_divide_the_range_lowers_its_upper_bound_as_in_optuna():
    with pytest.warns(UserWarning, match="not divisible"):
        given = optuna.distributions.FloatDistribution(0, 1, step=0.3)
    assert number_of(given) == Float(0, 0.9, step=0.3)


def test_plain_options_are_kept_and_objects_get_labels():
    assert choice_of((None, True, 1, "a")) == Choice([None, True, 1, "a"])
    assert choice_of([nn.ReLU, nn.Tanh]) == Choice({"ReLU": nn.ReLU, "Tanh": nn.Tanh})


@pytest.mark.parametrize("options", [[lambda: 1, lambda: 2], [object(), "a"]])
def test_objects_that_cannot_be_told_apart_are_refused(options):
    with pytest.raises(SpaceError, match="suggest one of several strings instead"):
        choice_of(options)


def test_objects_are_compared_by_their_labels():
    assert are_alike(choice_of([[1], [2]]), choice_of([[1], [2]]))
    assert not are_alike(choice_of([[1], [2]]), choice_of([[1], [3]]))
