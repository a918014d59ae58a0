import threading

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from proxyhpo.errors import ConfigError, SpaceError
from proxyhpo.space import Choice, Float, Int, Space
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
def test_values_that_are_not_options_are_rejected(value):
    with pytest.raises(ConfigError, match="must be one of 1, 2, got"):
        Choice([1, 2]).checked().canonical(value)


def test_a_label_is_resolved_to_its_object():
    choice = Choice({"sum": sum, "max": max}).checked()
    assert choice.values == ("sum", "max")
    assert choice.resolve("max") is max
    assert Choice(["max"]).checked().resolve("max") == "max"


def test_what_is_done_to_an_object_does_not_reach_the_next():
    network = torch.nn.Linear(2, 2)
    options = {"list": [1, 2], "nested": {"a": [1]}, "network": network}
    choice = Choice(options).checked()
    choice.resolve("list").append(3)
    choice.resolve("nested")["a"].append(2)
    torch.nn.init.zeros_(choice.resolve("network").weight)
    assert choice.resolve("list") == [1, 2]
    assert choice.resolve("nested") == {"a": [1]}
    assert choice.resolve("network").weight.count_nonzero() == 4
    assert options["list"] == [1, 2]


def test_an_object_that_cannot_be_copied_is_shared():
    lock = threading.Lock()
    assert Choice({"lock": lock}).checked().resolve("lock") is lock


@pytest.mark.parametrize(
    ("definition", "named"),
    [
        (Choice({"lr": Float(1e-4, 1, log=True)}), "the option 'lr' is a Float"),
        (Choice({"sgd": {"lr": Float(0, 1)}, "adam": {}}), "the option 'sgd' is a Float"),
        (Choice({"deep": [1, {"n": Int(1, 2)}]}), "the option 'deep' is a Int"),
        (Choice([Choice([1, 2]), 3]), "an option is a Choice"),
        ({"lr": Float(0, 1)}, "it contains a Float, but a space is not nested"),
        ([Float(0, 1)], "it contains a Float, but a space is not nested"),
    ],
)
def test_a_nested_space_is_refused_with_the_way_to_write_conditions(definition, named):
    with pytest.raises(SpaceError, match=rf"hyperparameter 'opt': {named}.* when=\("):
        Space({"opt": definition})
