import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxyhpo.errors import ConfigError
from proxyhpo.space import Float
from tests.space.spaces import floats, log_floats, stepped_floats


@given(st.one_of(floats(), log_floats(), stepped_floats()), st.floats(0, 1))
def test_bounds_are_included_and_kept(definition, fraction):
    assert definition.decode(0.0) == definition.low
    assert definition.decode(1.0) == definition.high
    assert definition.low <= definition.decode(fraction) <= definition.high
    for bound in (definition.low, definition.high):
        assert definition.canonical(bound) == bound
        assert definition.decode(definition.encode(bound)) == bound


@given(st.one_of(floats(), log_floats(), stepped_floats()), st.floats(0, 1), st.floats(0, 1))
def test_decoding_is_monotonic(definition, first, second):
    low, high = sorted((first, second))
    assert definition.decode(low) <= definition.decode(high)


@given(floats() | log_floats(), st.floats(0, 1))
def test_encoding_is_the_inverse_to_nine_digits(definition, fraction):
    assert definition.encode(definition.decode(fraction)) == pytest.approx(fraction, abs=1e-7)


@pytest.mark.parametrize("value", [1e-3, 0.1, 0.03, 3e-5, 1.0])
def test_numbers_that_people_type_come_back_as_they_were(value):
    definition = Float(1e-6, 1, log=True)
    assert definition.decode(definition.encode(value)) == value


def test_extreme_ranges():
    wide = Float(1e-300, 1e300, log=True)
    assert wide.decode(0.5) == 1
    assert wide.decode(wide.encode(1e-200)) == 1e-200
    tiny = Float(0, 5e-324)
    assert {tiny.decode(fraction) for fraction in (0.0, 0.3, 0.7, 1.0)} == {0, 5e-324}
    narrow = Float(1, math.nextafter(1, 2), log=True)
    assert {narrow.decode(f) for f in (0.0, 0.5, 1.0)} <= {narrow.low, narrow.high}


def test_no_negative_zero():
    definition = Float(-1, 1)
    found = [definition.decode(0.5 - 1e-13), definition.canonical(-0.0)]
    assert [math.copysign(1, value) for value in found] == [1, 1]


@given(stepped_floats())
def test_steps_are_equally_likely_and_stay(definition):
    n = len(definition.values)
    centres = [(k + 0.5) / n for k in range(n)]
    assert [definition.decode(centre) for centre in centres] == list(definition.values)
    assert [definition.encode(value) for value in definition.values] == pytest.approx(centres)
    assert [definition.canonical(value) for value in definition.values] == list(definition.values)
    assert len(set(definition.values)) == n


def test_steps_are_the_numbers_that_people_type():
    definition = Float(0, 1, step=0.1)
    assert list(definition.values) == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
    assert definition.canonical(0.1 + 0.2) == 0.3
    with pytest.raises(ConfigError, match=r"in steps of 0\.1, got 0\.25; the nearest is 0\.2"):
        definition.canonical(0.25)


def test_one_value():
    definition = Float(0.3, 0.3)
    assert definition.size == 1
    assert definition.encode(0.3) == 0.5
    assert definition.decode(0.9) == 0.3
