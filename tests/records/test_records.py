import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxyhpo._records.opening import Measurement, Opening
from proxyhpo._records.records import Record, config_key
from proxyhpo._records.report import Report
from proxyhpo._records.rung import Rung
from proxyhpo.errors import ArgumentError

VALUES = st.one_of(st.booleans(), st.integers(), st.floats(allow_nan=False), st.text())
CONFIGS = st.dictionaries(st.text(min_size=1), VALUES, max_size=4)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "density or cost"),
        ({"density": 0.5, "cost": 0.5}, "density or cost"),
        ({"density": 0}, "density must be in"),
        ({"density": 1.2}, "density must be in"),
        ({"density": float("nan")}, "density must be in"),
        ({"density": True}, "density must be in"),
        ({"density": "0.5"}, "density must be in"),
        ({"cost": 0}, "cost must be in"),
        ({"density": 1, "budget": 0}, "budget must be in"),
        ({"density": 1, "keep": 0}, "keep must be"),
        ({"cost": 0.1, "by": "flop"}, "did you mean 'flops'"),
        ({"density": 0.5, "by": "flops"}, "set cost="),
        ({"density": 1, "keep": 2.5}, "keep must be"),
    ],
)
def test_bad_rungs_are_refused(arguments, words):
    with pytest.raises(ArgumentError, match=words):
        Rung(**arguments)


@given(CONFIGS)
def test_key_does_not_depend_on_order(config):
    assert config_key(config) == config_key(dict(reversed(config.items())))


@given(CONFIGS, st.floats(allow_nan=False, allow_infinity=False), st.lists(st.floats(0, 1)))
def test_records_round_trip_through_json(config, value, reports):
    record = Record(
        3,
        1,
        0,
        config,
        {**config, "lr": 0.5},
        "finished",
        value,
        -value,
        tuple(Report(report, {"a": 1.0}) for report in reports),
    )
    assert Record.from_json(json.loads(json.dumps(record.to_json()))) == record


def test_measurements_and_openings_round_trip_through_json():
    measured = Measurement(0, 0.25, 0.3, 100, None, 0.01, 0.1, (("fc", "the head"),), "slow")
    assert Measurement.from_json(json.loads(json.dumps(measured.to_json()))) == measured
    opening = Opening(0, {"lr": -0.5}, 0.1)
    assert Opening.from_json(json.loads(json.dumps(opening.to_json()))) == opening


def test_unknown_fields_of_a_record_are_refused():
    data = Record(0, 0, 0, {}, {}, "finished").to_json()
    with pytest.raises(ArgumentError, match="surprise"):
        Record.from_json({**data, "surprise": 1})


def test_a_record_is_printed_in_short():
    reports = (Report(0.8, {}), Report(0.9, {}))
    record = Record(3, 1, 0, {"lr": 0.1}, {"lr": 0.2}, "finished", 0.9, -0.9, reports, 2.5)
    assert repr(record) == (
        "Record(trial=3, rung=1, replicate=0, config={'lr': 0.1}, state='finished', value=0.9, "
        "seconds=2.5, reason=None)"
    )
