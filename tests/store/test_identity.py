import math

import pytest

from proxyhpo._store.identity import check_identity
from proxyhpo.errors import StudyMismatchError

STORED = {"space": {"lr": {"low": 1e-4, "high": 1.0}}, "ladder": [0.25, 1], "seed": 0}


def message(stored, given):
    with pytest.raises(StudyMismatchError) as caught:
        check_identity("study.db", stored, given)
    return str(caught.value)


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (STORED | {"seed": 1}, "  seed: stored 0, given 1"),
        (STORED | {"ladder": [0.5, 1]}, "  ladder[0]: stored 0.25, given 0.5"),
        (STORED | {"ladder": [0.25]}, "  ladder[1]: stored 1, given nothing"),
        (STORED | {"version": "b"}, '  version: stored nothing, given "b"'),
        (STORED | {"space": {"lr": {"low": 1e-4, "high": 0.1}}}, "  space.lr.high: stored 1.0,"),
        (STORED | {"space": {}}, '  space.lr: stored {"low": 0.0001, "high": 1.0}, given nothing'),
        (STORED | {"space": None}, "given null"),
        (STORED | {"seed": False}, "  seed: stored 0, given false"),
    ],
)
def test_a_difference_is_named_in_words(given, line):
    text = message(STORED, given)
    assert line in text
    assert text.count("stored ") == 2  # the difference, and the advice
    assert text.startswith("'study.db' contains a study with other settings:")
    assert text.endswith("or another file for a new study.")


def test_every_difference_is_named():
    text = message(STORED, {"space": {"lr": {"low": 1e-4, "high": 2}}, "ladder": [1], "seed": 3})
    for place in ("space.lr.high", "ladder[0]", "ladder[1]", "seed"):
        assert f"  {place}: " in text


def test_many_differences_and_long_ones_are_cut():
    text = message({}, {str(n): "word " * 1000 for n in range(1000)})
    assert text.count("stored nothing") == 20
    assert "  ... and more" in text
    assert len(text) < 4000


@pytest.mark.parametrize(
    ("one", "same"),
    [
        (STORED, dict(reversed(STORED.items()))),
        ({"a": 1}, {"a": 1.0}),
        ({"a": [1, 2]}, {"a": (1, 2)}),
        ({"a": math.nan}, {"a": math.nan}),
    ],
)
def test_equal_identities_pass(one, same):
    check_identity("study.db", one, same)
