import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxyhpo.errors import ConfigError
from proxyhpo.space import Choice
from tests.space.spaces import choices


@given(choices(), st.floats(0, 1))
def test_values_come_back_with_their_type(definition, fraction):
    checked = definition.checked()
    value = checked.decode(fraction)
    again = checked.decode(checked.encode(value))
    assert (type(again), again) == (type(value), value)
    assert (type(checked.canonical(value)), checked.canonical(value)) == (type(value), value)


def test_each_option_sits_at_the_centre_of_its_bin():
    checked = Choice([1, True, 1.0, "1"]).checked()
    assert [checked.encode(v) for v in (1, True, 1.0, "1")] == [0.125, 0.375, 0.625, 0.875]


def test_a_number_of_another_type_is_cast_if_that_is_clear():
    assert type(Choice([1.0, 2.0]).checked().canonical(1)) is float
    assert type(Choice([1, 2]).checked().canonical(2.0)) is int


@pytest.mark.parametrize("value", [True, "1", None, 3, [1], float("nan")])
def test_what_is_not_an_option_is_refused(value):
    with pytest.raises(ConfigError, match="must be one of 1, 2, got"):
        Choice([1, 2]).checked().canonical(value)


def test_a_label_stands_for_its_object():
    choice = Choice({"sum": sum, "max": max}).checked()
    assert choice.values == ("sum", "max")
    assert choice.resolve("max") is max
    assert Choice(["max"]).checked().resolve("max") == "max"
