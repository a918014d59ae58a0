import copy
import json
import math
import pickle
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch import nn

from proxyhpo._records.records import config_key
from proxyhpo.errors import ArgumentError, ConfigError, SpaceError, UnknownNameError
from proxyhpo.space import Choice, Float, Int, Space
from tests.space.spaces import SMALL, all_configs, points, spaces

PLAIN_TYPES = {type(None), bool, int, float, str}


def example():
    return Space(
        {
            "optimizer": Choice(["adam", "sgd", "lbfgs"]),
            "lr": Float(1e-4, 1, log=True),
            "momentum": Float(0, 0.9, when=("optimizer", "sgd")),
            "nesterov": Choice([True, False], when=("momentum", [0.0, 0.9])),
            "beta": Float(0.5, 0.99, when=("optimizer", ["adam", "lbfgs"])),
            "activation": Choice({"relu": nn.ReLU, "gelu": nn.GELU}),
            "epochs": 10,
        }
    )


@given(st.data())
def test_every_point_of_the_cube_is_a_valid_config_of_plain_values(data):
    space = data.draw(spaces())
    config = space.decode(data.draw(points(space)))
    validated = space.validate(config)
    assert config_key(validated) == config_key(config)
    assert {type(value) for value in config.values()} <= PLAIN_TYPES
    assert [name for name in space if name in config] == list(config)


@given(st.data())
def test_decoding_is_the_inverse_of_encoding(data):
    space = data.draw(spaces())
    config = space.decode(data.draw(points(space)))
    point = space.encode(config)
    assert point.shape == (len(space.names),)
    assert point.min() >= 0
    assert point.max() <= 1
    assert config_key(space.decode(point)) == config_key(config)


def text(space):
    return json.dumps(space.to_json(), sort_keys=True)


@given(spaces(), st.integers(0, 2**32))
def test_sampling_repeats_itself_and_round_trips(space, seed):
    config = space.sample(np.random.default_rng(seed))
    assert config == space.sample(np.random.default_rng(seed))
    assert config_key(space.decode(space.encode(config))) == config_key(config)


@given(st.data())
def test_inactive_hyperparameters_are_absent_and_sit_at_the_centre(data):
    space = data.draw(spaces())
    config = space.decode(data.draw(points(space)))
    for name, place in zip(space.names, space.encode(config), strict=True):
        assert (name in config) == space.is_active(name, config)
        assert name in config or place == 0.5


@given(spaces())
def test_json_round_trip(space):
    data = json.loads(json.dumps(space.to_json(), allow_nan=False))
    objects = {
        name: given.options
        for name, given in space.items()
        if isinstance(given, Choice) and isinstance(given.options, dict)
    }
    again = Space.from_json(data, objects)
    assert again == space
    assert again.to_json() == space.to_json()
    assert Space.from_json(data).to_json() == space.to_json()


@given(spaces(), st.randoms())
def test_the_order_in_which_a_space_is_written_does_not_matter(space, random):
    names = list(space)
    random.shuffle(names)
    other = Space({name: space[name] for name in names})
    assert other == space
    assert text(other) == text(space)
    assert other.names == space.names
    assert other.sample(np.random.default_rng(0)) == space.sample(np.random.default_rng(0))


@given(spaces())
def test_conditions_come_after_what_they_depend_on(space):
    order = ["constant", *space.names]
    for name in space.names:
        assert space.parent(name) is None or order.index(space.parent(name)) < order.index(name)
    assert set(space.names) == set(space) - {"constant"}


@given(spaces())
def test_a_space_of_a_space_is_the_same(space):
    assert Space(space) == space
    assert text(Space(space)) == text(space)


@given(spaces(SMALL))
def test_the_size_is_the_number_of_configs(space):
    assert space.size == len(all_configs(space))


def test_size_counts_only_what_is_active():
    space = {"a": Choice(["x", "y", "z"]), "b": Int(1, 4, when=("a", ["x", "y"])), "c": 3}
    assert Space(space).size == 9
    assert Space(space | {"d": Choice([1, 2, 3], when=("b", 2))}).size == 2 * (3 + 3) + 1
    assert Space(space | {"d": Float(0, 1, when=("b", 2))}).size == math.inf
    assert Space({f"x{i}": Int(0, 10**18) for i in range(40)}).size == (10**18 + 1) ** 40


def test_size_counts_dependants_of_equal_values_of_different_types():
    space = Space({"a": Choice([True, 1, 1.0]), "b": Choice(["u", "v", "w", 2], when=("a", 1))})
    assert space.size == 4 + 2
    assert space.is_active("b", {"a": 1})
    assert not space.is_active("b", {"a": True})


def test_sampling_is_uniform_on_each_scale():
    space = Space({"linear": Float(-2, 3), "log": Float(1e-5, 10, log=True), "int": Int(1, 4)})
    rng = np.random.default_rng(0)
    configs = [space.sample(rng) for _ in range(2000)]
    linear = [config["linear"] for config in configs]
    logs = [math.log10(config["log"]) for config in configs]
    counts = [sum(config["int"] == value for config in configs) for value in (1, 2, 3, 4)]
    assert stats.kstest(linear, "uniform", (-2, 5)).pvalue > 0.01
    assert stats.kstest(logs, "uniform", (-5, 6)).pvalue > 0.01
    assert stats.chisquare(counts).pvalue > 0.01


def test_validate_casts_and_fills_in_constants():
    config = {
        "optimizer": np.str_("sgd"),
        "lr": 1,
        "momentum": np.float64(0.9),
        "nesterov": np.bool_(1),
        "activation": "relu",
    }
    found = example().validate(config)
    assert found == config | {"epochs": 10}
    assert [type(found[name]) for name in ("optimizer", "lr", "momentum")] == [str, float, float]
    assert found["nesterov"] is True
    assert found == example().validate(found)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"lrr": 0.1}, "unknown hyperparameter 'lrr'; did you mean 'lr'"),
        ({"lr": None}, "'lr' must be a number in [0.0001, 1.0], got None"),
        ({"lr": 2}, "'lr' must be a number in [0.0001, 1.0], got 2"),
        ({"lr": math.nan}, "'lr' must be a number"),
        ({"lr": True}, "'lr' must be a number"),
        ({"lr": ...}, "'lr' is missing; it must be a number in [0.0001, 1.0]"),
        ({"beta": ...}, "'beta' is missing"),
        ({"momentum": 0.9}, "'momentum' must be absent because 'optimizer' is 'adam'; it requires"),
        ({"nesterov": True}, "'nesterov' must be absent because 'momentum' is itself absent"),
        ({"optimizer": "sdg"}, "'optimizer' must be one of 'adam', 'sgd', 'lbfgs', got 'sdg'"),
        ({"activation": nn.ReLU}, "'activation' must be one of 'relu', 'gelu', got <class"),
        ({"epochs": 11}, "'epochs' must be one of 10, got 11"),
    ],
)
def test_a_config_outside_the_space_is_refused(change, words):
    config = {"optimizer": "adam", "lr": 0.1, "beta": 0.9, "activation": "relu"}
    example().validate(config)
    config = {name: v for name, v in (config | change).items() if v is not ...}
    with pytest.raises(ConfigError) as error:
        example().validate(config, argument="enqueue")
    assert str(error.value).startswith("enqueue: ")
    assert words in str(error.value)


def test_a_config_must_be_a_mapping():
    with pytest.raises(ConfigError, match="config must be a mapping"):
        example().validate([0.1])


def test_resolve_hands_out_the_objects():
    resolved = example().resolve(example().center() | {"lr": 17.0})
    assert resolved["activation"] is nn.GELU
    assert resolved["lr"] == 17.0


def test_a_choice_read_back_without_its_objects_has_its_labels():
    space = Space.from_json(example().to_json())
    assert space.resolve(space.center())["activation"] == "gelu"


@pytest.mark.parametrize(
    ("data", "objects", "words"),
    [
        ({"a": {"type": "complex"}}, {}, "'a': unknown type 'complex'"),
        ({"a": {}}, {}, "'a': unknown type None"),
        ({"a": {"type": "float", "low": 1}}, {}, "'a': not the data of a float"),
        ({"a": {"type": "choice", "options": ["x"]}}, {"b": {}}, "unknown hyperparameter 'b'"),
        ({"a": {"type": "choice", "options": ["x"]}}, {"a": {"y": 1}}, "must have labels"),
    ],
)
def test_invalid_data_of_a_space_is_rejected(data, objects, words):
    with pytest.raises(SpaceError) as error:
        Space.from_json(data, objects)
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("definitions", "words"),
    [
        ({}, "the space is empty"),
        ({"a": 1}, "the space is empty"),
        (3, "a space must be a mapping"),
        ({3: Float(0, 1)}, "must be a str, got 3"),
        ({"a": Float}, "'a': <class"),
        ({"a": [1, 2]}, "'a': a constant must be one plain value; use Choice([1, 2])"),
        ({"lr": (1e-4, 1)}, "use Choice((0.0001, 1)) for options, or Float(0.0001, 1) for a range"),
        ({"n": [64, 16]}, "use Choice([64, 16]) for options, or Int(16, 64) for a range"),
        ({"a": math.inf, "b": Float(0, 1)}, "'a': inf is not a Float, an Int, a Choice or"),
        ({"lr": Float(0, 1, when=("optimiser", "x"))}, "'lr': when names an unknown"),
        ({"b": 1, "a": Float(0, 1, when=("bb", 1))}, "did you mean 'b'? Allowed: 'b'"),
        ({"aa": Float(0, 1, when=("a", 1))}, "unknown hyperparameter 'a'. Allowed: none"),
        ({"a": Choice([1, 2]), "b": Int(0, 1, when=("a", 3))}, "'b': when: 'a' must be one of"),
        ({"a": "adam", "b": Int(0, 1, when=("a", "sgd"))}, "'b': when: 'a' must be one of 'adam'"),
        ({"a": Int(0, 1, when=("a", 1))}, "cycle: 'a' → 'a'"),
        ({"a": Int(0, 1, when=("b", 1)), "b": Int(0, 1, when=("a", 1))}, "cycle: "),
    ],
)
def test_a_bad_space_is_refused(definitions, words):
    with pytest.raises(SpaceError) as error:
        Space(definitions)
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("define", "words"),
    [
        (lambda: Float(0.1, 1e-4), "Float: low must not be above high, got low=0.1, high=0.0001"),
        (lambda: Float(min=0.1), "Float(min=0.1): missing a required argument: 'low'; the argume"),
        (lambda: Float(0, 1, min=1), "Float(0, 1, min=1): got an unexpected keyword argument"),
        (lambda: Float(0, 1, True), "Float(0, 1, True): too many positional arguments"),
        (lambda: Float("0", 1), "Float: low must be a finite number, got '0'"),
        (lambda: Float(0, 1, when="x"), "Float: when must be (name, value)"),
        (lambda: Float(0, 1, when=("x", [])), "Float: when must be (name, value)"),
        (lambda: Int(1, 2.5), "Int: high must be a whole number within 2**62, got 2.5"),
        (lambda: Int(1, 8, step=2), "Int: step must divide the range from 1 to 8, got step=2"),
        (
            lambda: Choice(0.0, 0.9),
            "Choice(0.0, 0.9): too many positional arguments; the arguments are options, when, for",
        ),
        (lambda: Choice(0.9), "Choice: options must be a list of plain values or a mapping"),
        (lambda: Choice([]), "Choice: options must be a list of plain values or a mapping"),
        (lambda: Choice([1, 1]), "Choice: the option 1 occurs twice"),
    ],
)
def test_a_bad_definition_is_refused_when_it_is_made(define, words):
    with pytest.raises(SpaceError) as error:
        define()
    assert str(error.value).startswith(words)


@pytest.mark.parametrize("definition", [Float(0, 1), Int(1, 9, step=2), Choice(["a", "b"])])
def test_definitions_are_copied_and_pickled(definition):
    assert copy.deepcopy(definition) == definition
    assert pickle.loads(pickle.dumps(definition)) == definition
    assert replace(definition, when=("x", 1)).when == ("x", (1,))


def test_a_condition_on_a_constant_holds():
    space = Space({"optimizer": "sgd", "momentum": Float(0, 1, when=("optimizer", "sgd"))})
    assert space.center() == {"optimizer": "sgd", "momentum": 0.5}


def test_equal_conditions_are_equal_however_they_are_written():
    first, second = (
        Space({"a": Float(0, 3), "b": Int(1, 2, step=step, when=("a", values))})
        for step, values in ((None, [2, 1]), (1, (1.0, 2.0, np.float32(1))))
    )
    assert first == second
    assert text(first) == text(second)


@pytest.mark.parametrize(
    "change",
    [
        {"lr": Float(1e-4, 2, log=True)},
        {"lr": Float(1e-4, 1)},
        {"activation": Choice({"gelu": nn.GELU, "relu": nn.ReLU})},
        {"beta": Float(0.5, 0.99, when=("optimizer", "adam"))},
        {"epochs": 10.0},
        {"epochs": True},
        {"epochs": Choice([10])},
        {"further": 1},
    ],
)
def test_what_is_stored_tells_spaces_apart(change):
    assert text(Space({**example(), **change})) != text(example())


@pytest.mark.parametrize("point", [[0.5], [0.5] * 3, [0.5, math.nan], 0.5])
def test_a_point_of_the_wrong_form_is_refused(point):
    with pytest.raises(ArgumentError, match="point must be 2 numbers"):
        Space({"a": Float(0, 1), "b": Int(0, 1)}).decode(point)


def test_points_a_little_outside_the_cube_are_clipped():
    assert Space({"a": Float(0, 1)}).decode([1 + 1e-12]) == {"a": 1.0}


def test_is_active_names_what_is_unknown():
    with pytest.raises(UnknownNameError, match="did you mean 'lr'"):
        example().is_active("lrr", example().center())


def test_a_space_is_not_changed_through_what_it_was_made_of():
    options = ["a", "b"]
    definitions = {"x": Choice(options)}
    space = Space(definitions)
    options.append("c")
    definitions["y"] = 1
    assert space == Space({"x": Choice(["a", "b"])})


def test_the_repr_can_be_read():
    space = Space({"a": Float(1, 2, log=True), "b": Choice(["x"], when=("a", 2)), "c": 1})
    text = (
        "Space({'a': Float(1.0, 2.0, log=True), 'b': Choice(('x',), when=('a', (2.0,))), 'c': 1})"
    )
    assert repr(space) == text
