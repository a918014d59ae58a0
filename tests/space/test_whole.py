import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxyhpo.errors import ConfigError
from proxyhpo.space import Int
from tests.space.spaces import ints, log_ints


@given(ints() | log_ints(), st.floats(0, 1))
def test_bounds_are_included_and_kept(definition, fraction):
    assert definition.decode(0.0) == definition.low
    assert definition.decode(1.0) == definition.high
    assert definition.decode(fraction) in definition.values
    assert type(definition.decode(fraction)) is int


@given(ints() | log_ints(), st.data())
def test_every_value_comes_back_exactly(definition, data):
    value = definition.values[data.draw(st.integers(0, len(definition.values) - 1))]
    assert definition.decode(definition.encode(value)) == value


@given(st.integers(0, 2**52 - 1))
def test_neighbours_in_a_large_range_are_distinguished(index):
    definition = Int(2**60, 2**60 + 2**52 - 1)
    assert definition.decode(definition.encode(2**60 + index)) == 2**60 + index


@given(st.integers(1, 2**40))
def test_neighbours_in_a_large_log_range_are_distinguished(value):
    definition = Int(1, 2**40, log=True)
    assert definition.decode(definition.encode(value)) == value


def test_the_largest_range():
    definition = Int(-(2**62) + 1, 2**62 - 1)
    assert definition.size == 2**63 - 1
    assert [definition.decode(f) for f in (0.0, 0.5, 1.0)] == [definition.low, 0, definition.high]


def test_values_are_equally_likely():
    definition = Int(0, 9, step=3)
    found = [definition.decode((k + 0.5) / 1000) for k in range(1000)]
    assert [found.count(value) for value in (0, 3, 6, 9)] == [250] * 4


def test_log_values_have_the_width_of_their_bin():
    definition = Int(1, 64, log=True)
    n = 100_000
    found = [definition.decode((k + 0.5) / n) for k in range(n)]
    for value in (1, 2, 10, 64):
        width = math.log((value + 0.5) / (value - 0.5)) / math.log(64.5 / 0.5)
        assert found.count(value) / n == pytest.approx(width, abs=2 / n)
    assert all(a <= b for a, b in itertools.pairwise(found))


@pytest.mark.parametrize("value", [0, 11, 4, 2.5, math.nan, math.inf, True, "5", None])
def test_invalid_values_are_rejected(value):
    with pytest.raises(ConfigError, match=r"must be a whole number in \[1, 9\] in steps of 2, got"):
        Int(1, 9, step=2).canonical(value)


def test_a_whole_float_is_cast():
    assert type(Int(1, 9).canonical(3.0)) is int
