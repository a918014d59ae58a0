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
    value = definition.decode(fraction)
    again = definition.decode(definition.encode(value))
    assert (type(again), again) == (type(value), value)
    assert (type(definition.canonical(value)), definition.canonical(value)) == (type(value), value)


def test_each_option_sits_at_the_centre_of_its_bin():
    definition = Choice([1, True, 1.0, "1"])
    assert [definition.encode(v) for v in (1, True, 1.0, "1")] == [0.125, 0.375, 0.625, 0.875]


def test_a_number_of_another_type_is_cast_if_that_is_clear():
    assert type(Choice([1.0, 2.0]).canonical(1)) is float
    assert type(Choice([1, 2]).canonical(2.0)) is int


@pytest.mark.parametrize("value", [True, "1", None, 3, [1], float("nan")])
def test_values_that_are_not_options_are_rejected(value):
    with pytest.raises(ConfigError, match="must be one of 1, 2, got"):
        Choice([1, 2]).canonical(value)


def test_a_label_is_resolved_to_its_object():
    choice = Choice({"sum": sum, "max": max})
    assert choice.values == ("sum", "max")
    assert choice.resolve("max") is max
    assert Choice(["max"]).resolve("max") == "max"


def test_what_is_done_to_an_object_does_not_reach_the_next():
    network = torch.nn.Linear(2, 2)
    options = {"list": [1, 2], "nested": {"a": [1]}, "network": network}
    choice = Choice(options)
    choice.resolve("list").append(3)
    choice.resolve("nested")["a"].append(2)
    torch.nn.init.zeros_(choice.resolve("network").weight)
    assert choice.resolve("list") == [1, 2]
    assert choice.resolve("nested") == {"a": [1]}
    assert choice.resolve("network").weight.count_nonzero() == 4
    assert options["list"] == [1, 2]


def test_an_object_that_cannot_be_copied_is_shared():
    lock = threading.Lock()
    assert Choice({"lock": lock}).resolve("lock") is lock


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"lr": Float(1e-4, 1, log=True)}, "the option 'lr' is a Float"),
        ({"sgd": {"lr": Float(0, 1)}, "adam": {}}, "the option 'sgd' is a Float"),
        ({"deep": [1, {"n": Int(1, 2)}]}, "the option 'deep' is a Int"),
        ([Choice([1, 2]), 3], "an option is a Choice"),
    ],
)
def test_a_choice_of_hyperparameters_is_refused_with_the_way_to_write_conditions(options, named):
    with pytest.raises(SpaceError, match=rf"Choice: {named}.* when=\("):
        Choice(options)


@pytest.mark.parametrize(
    ("definition", "named"),
    [
        ({"lr": Float(0, 1)}, "it contains a Float, but a space is not nested"),
        ([Float(0, 1)], "it contains a Float, but a space is not nested"),
    ],
)
def test_a_nested_space_is_refused_with_the_way_to_write_conditions(definition, named):
    with pytest.raises(SpaceError, match=rf"hyperparameter 'opt': {named}.* when=\("):
        Space({"opt": definition})
