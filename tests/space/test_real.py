import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxyhpo.errors import ConfigError
from proxyhpo.space import Float
from tests.space.spaces import floats, log_floats, stepped_floats


@given(st.one_of(floats(), log_floats(), stepped_floats()), st.floats(0, 1))
def test_bounds_are_included_and_kept(definition, fraction):
    checked = definition.checked()
    assert checked.decode(0.0) == checked.low
    assert checked.decode(1.0) == checked.high
    assert checked.low <= checked.decode(fraction) <= checked.high
    for bound in (checked.low, checked.high):
        assert checked.canonical(bound) == bound
        assert checked.decode(checked.encode(bound)) == bound


@given(st.one_of(floats(), log_floats(), stepped_floats()), st.floats(0, 1), st.floats(0, 1))
def test_decoding_is_monotonic(definition, first, second):
    low, high = sorted((first, second))
    assert definition.checked().decode(low) <= definition.checked().decode(high)


@given(floats() | log_floats(), st.floats(0, 1))
def test_encoding_is_the_inverse_to_nine_digits(definition, fraction):
    checked = definition.checked()
    assert checked.encode(checked.decode(fraction)) == pytest.approx(fraction, abs=1e-7)


@pytest.mark.parametrize("value", [1e-3, 0.1, 0.03, 3e-5, 1.0])
def test_numbers_that_people_type_come_back_as_they_were(value):
    checked = Float(1e-6, 1, log=True).checked()
    assert checked.decode(checked.encode(value)) == value


def test_extreme_ranges():
    wide = Float(1e-300, 1e300, log=True).checked()
    assert wide.decode(0.5) == 1
    assert wide.decode(wide.encode(1e-200)) == 1e-200
    tiny = Float(0, 5e-324).checked()
    assert {tiny.decode(fraction) for fraction in (0.0, 0.3, 0.7, 1.0)} == {0, 5e-324}
    narrow = Float(1, math.nextafter(1, 2), log=True).checked()
    assert {narrow.decode(f) for f in (0.0, 0.5, 1.0)} <= {narrow.low, narrow.high}


def test_no_negative_zero():
    checked = Float(-1, 1).checked()
    found = [checked.decode(0.5 - 1e-13), checked.canonical(-0.0)]
    assert [math.copysign(1, value) for value in found] == [1, 1]


@given(stepped_floats())
def test_steps_are_equally_likely_and_stay(definition):
    checked = definition.checked()
    n = len(checked.values)
    centres = [(k + 0.5) / n for k in range(n)]
    assert [checked.decode(centre) for centre in centres] == list(checked.values)
    assert [checked.encode(value) for value in checked.values] == pytest.approx(centres)
    assert [checked.canonical(value) for value in checked.values] == list(checked.values)
    assert len(set(checked.values)) == n


def test_steps_are_the_numbers_that_people_type():
    checked = Float(0, 1, step=0.1).checked()
    assert list(checked.values) == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
    assert checked.canonical(0.1 + 0.2) == 0.3
    with pytest.raises(ConfigError, match=r"in steps of 0\.1, got 0\.25; the nearest is 0\.2"):
        checked.canonical(0.25)


def test_one_value():
    checked = Float(0.3, 0.3).checked()
    assert checked.size == 1
    assert checked.encode(0.3) == 0.5
    assert checked.decode(0.9) == 0.3
