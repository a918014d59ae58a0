import json
import math

import numpy as np
import pytest

from proxyhpo._store.strict_json import decode, encode
from proxyhpo.errors import ArgumentError


def test_the_text_is_json_for_every_program():
    def refuse(constant):
        raise AssertionError(constant)

    text = encode({"a": [math.nan, math.inf, -math.inf], "b": "é\ud800\0"})
    assert text.isascii()
    assert json.loads(text, parse_constant=refuse)["a"][1] == {"$float": "Infinity"}
    assert decode(text)["a"][1:] == [math.inf, -math.inf]
    assert decode(text)["b"] == "é\ud800\0"


def test_numpy_numbers_become_plain_ones():
    plain = decode(encode([np.int64(3), np.float32(0.5), np.float64(0.1), np.str_("relu")]))
    assert plain == [3, 0.5, 0.1, "relu"]
    assert [type(value) for value in plain] == [int, float, float, str]


def test_values_within_themselves_are_refused():
    body = {}
    body["again"] = body
    with pytest.raises(ArgumentError, match="nested too deeply"):
        encode(body)


def test_numbers_too_long_for_text_are_refused():
    with pytest.raises(ArgumentError, match="cannot be stored"):
        encode({"n": 10**5000})


def test_the_reserved_key_is_rejected_alone_and_kept_among_others():
    with pytest.raises(ArgumentError, match=r"a has only the key '\$float', which is reserved"):
        encode({"a": {"$float": "NaN"}})
    assert decode(encode({"$float": "NaN", "b": 1})) == {"$float": "NaN", "b": 1}


@pytest.mark.parametrize("text", ["", "{", "NaN", "[Infinity]", "{'a': 1}", "[" * 100_000])
def test_invalid_json_is_a_value_error(text):
    with pytest.raises(ValueError, match=r"."):
        decode(text)


@pytest.mark.parametrize("text", ['{"$float": "7"}', '{"$float": 7}', '{"$float": []}'])
def test_other_marks_mean_nothing(text):
    assert decode(text) == json.loads(text)


@pytest.mark.parametrize("value", [1.0, math.nan, [], "nan", None])
def test_the_mark_of_special_numbers_may_be_an_ordinary_name(value):
    decoded = decode(encode({"metrics": {"$float": value}}))
    assert repr(decoded) == repr({"metrics": {"$float": value}})


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity"])
def test_what_would_read_back_as_a_number_is_refused(value):
    with pytest.raises(ArgumentError, match=r"metrics has only the key '\$float'"):
        encode({"metrics": {"$float": value}})
