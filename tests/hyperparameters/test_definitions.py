import math

import numpy as np
import pytest
from torch import nn

from proxyhpo.errors import SpaceError
from proxyhpo.space import Choice, Float, Int


@pytest.mark.parametrize(
    ("definition", "words"),
    [
        (Float(2, 1), "low must not be above high"),
        (Float(math.nan, 1), "low must be a finite number, got nan"),
        (Float(0, math.inf), "high must be a finite number, got inf"),
        (Float("0", 1), "low must be a finite number, got '0'"),
        (Float(False, 1), "low must be a finite number, got False"),
        (Float(-1e308, 1e308), "too wide"),
        (Float(0, 10**400), "too wide"),
        (Float(0, 1, log=True), "log=True needs low > 0, got low=0"),
        (Float(0, 1, log="yes"), "log must be True or False"),
        (Float(0, 1, step=0.3), "step must divide the range from 0 to 1, got step=0.3"),
        (Float(0, 1, step=2), "step must divide"),
        (Float(0, 1, step=0), "step must be above 0"),
        (Float(0, 1, step=-0.5), "step must be above 0"),
        (Float(0, 1, step=math.nan), "step must be a finite number"),
        (Float(1, 2, step=0.5, log=True), "step and log exclude each other"),
        (Int(2, 1), "low must not be above high"),
        (Int(0.5, 2), "low must be a whole number within 2**62, got 0.5"),
        (Int(0, 2**62), "high must be a whole number within 2**62"),
        (Int(0, 3, step=2), "step must divide"),
        (Int(0, 3, step=0.5), "step must be a whole number"),
        (Int(-1, 3, log=True), "log=True needs low > 0"),
        (Int(1, 3, step=2, log=True), "step and log exclude each other"),
        (Choice([]), "not empty"),
        (Choice({}), "not empty"),
        (Choice("abc"), "must be a list of plain values or a mapping"),
        (Choice({"a", "b"}), "must be a list of plain values or a mapping"),
        (Choice(3), "must be a list of plain values or a mapping"),
        (Choice([1, 1]), "the option 1 is there twice"),
        (Choice(["a", np.str_("a")]), "the option 'a' is there twice"),
        (Choice([0.0, -0.0]), "the option -0.0 is there twice"),
        (Choice([nn.ReLU]), "give objects labels"),
        (Choice([[1, 2]]), "give objects labels"),
        (Choice([math.nan]), "nan is not a plain value"),
        (Choice({1: nn.ReLU}), "a label must be a str, got 1"),
        (Int(1, 2, when=("a",)), "when must be (name, value)"),
        (Int(1, 2, when=(1, 2)), "when must be (name, value)"),
    ],
    ids=repr,
)
def test_a_bad_definition_is_refused(definition, words):
    with pytest.raises(SpaceError) as error:
        definition.checked()
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("given", "canonical"),
    [
        (Float(np.float32(0), np.int64(2)), Float(0.0, 2.0)),
        (Float(1, 1), Float(1.0, 1.0)),
        (Int(np.int64(0), 1e3, step=1), Int(0, 1000)),
        (Choice(np.arange(3)), Choice([0, 1, 2])),
        (Choice(range(3)), Choice((0, 1, 2))),
        (Choice([1, True, 1.0]), Choice([1, True, 1.0])),
        (Int(0, 1, when=("a", 1)), Int(0, 1, when=("a", [1]))),
    ],
    ids=repr,
)
def test_a_good_definition_has_a_canonical_form(given, canonical):
    checked = given.checked()
    assert checked == canonical
    assert repr(checked) == repr(canonical)
    assert hash(checked) == hash(canonical)


def test_definitions_are_compared_by_value():
    assert Float(0, 1) != Float(0, 1, log=True)
    assert Float(0, 1) != Int(0, 1)
    assert Choice([1]) != Choice([True])
    assert Choice({"a": max}) != Choice({"a": min})
    assert Choice({"a": max}) != Choice(["a"])
    assert Choice({"a": max}) == Choice({"a": max})


@pytest.mark.parametrize("definition", [Float(0, 1), Int(0, 1), Choice([1])], ids=repr)
def test_definitions_are_frozen(definition):
    with pytest.raises(AttributeError):
        definition.when = ("a", 1)
