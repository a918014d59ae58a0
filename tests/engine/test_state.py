import pytest

from proxyhpo._engine.state import State
from proxyhpo._records.opening import Measurement, Opening
from proxyhpo._records.records import Death, Record
from proxyhpo._records.run_id import RunId
from proxyhpo.errors import StoreError

TRIAL = ("trial", {"number": 0, "config": {"x": 1}, "seconds": 0.5})

SECOND = ("trial", {"number": 1, "config": {"x": 2}})


def record(rung, state="finished", loss=1.0, trial=0):
    config = [TRIAL, SECOND][trial][1]["config"]
    return ("record", Record(trial, rung, 0, config, {}, state, loss, loss).to_json())


UP = ("promotion", {"trial": 0, "rung": 1})

MEASURED = ("measured", Measurement(0, 0.25, 0.3, 100, None, 0.01).to_json())
OPENING = ("opening", Opening(0, {"lr": -0.5}).to_json())


def test_what_began_and_has_not_ended_is_unfinished():
    assert State.replay(2, [TRIAL]).unfinished == [RunId(0, 0)]
    events = [TRIAL, record(0), UP]
    assert State.replay(2, events).unfinished == [RunId(0, 1)]
    assert State.replay(2, [*events, record(1)]).unfinished == []


def test_the_best_is_of_the_full_network_and_finished():
    first, second = record(1, loss=2.0), record(1, loss=1.0, trial=1)
    events = [TRIAL, SECOND, record(0, loss=-9.0), UP, ("promotion", {"trial": 1, "rung": 1})]
    assert State.replay(2, [*events, first, second]).best.trial == 1
    assert State.replay(2, [*events, record(1, state="stopped")]).best is None


def test_a_rung_may_be_measured_before_it_opens():
    state = State.replay(2, [MEASURED])
    assert (list(state.history.measured), state.history.openings) == ([0], {})
    state.apply(*OPENING)
    assert state.history.openings[0].exponents == {"lr": -0.5}
    with pytest.raises(StoreError, match="rung 0 was opened without a measurement"):
        State.replay(2, [OPENING])


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (("measured", {**MEASURED[1], "rung": 2}), "no rung 2"),
        (("measured", {**MEASURED[1], "density": 7}), "density"),
    ],
)
def test_measurements_that_cannot_be_are_refused(event, words):
    with pytest.raises(StoreError, match=words):
        State.replay(2, [TRIAL, event])


def test_kinds_of_others_are_passed_over():
    state = State.replay(1, [("source", {"train": "abc"}), TRIAL])
    assert len(state.history.trials) == 1
    assert state.search_seconds == 0.5


@pytest.mark.parametrize(
    "event",
    [
        ("trial", {}),
        ("trial", {"number": 1, "config": 3}),
        ("trial", {"number": 0, "config": {}}),
        ("promotion", {"trial": 0, "rung": 9}),
        ("promotion", {"trial": -1, "rung": 1}),
        ("promotion", {"trial": "0", "rung": 1}),
        ("record", {"trial": 10**30}),
        ("record", {**record(0)[1], "rung": 10**30}),
        ("opening", {"rung": 0}),
        ("promotion", {"trial": True, "rung": 1}),
        ("trial", {"number": 1, "config": {"x": 1}, "seconds": "0.5"}),
        ("trial", {"number": 1, "config": {"x": 1}, "seconds": -1}),
        ("trial", {"number": True, "config": {"x": 1}}),
    ],
)
def test_events_of_another_form_are_refused(event):
    with pytest.raises(StoreError, match="no valid events of a study"):
        State.replay(2, [TRIAL, event])


NAN, INF = float("nan"), float("inf")
NO_REALS = [NAN, INF, "1", True, [], 10**400]
NO_COUNTS = [-1, 1.5, "0", True, None, NAN]
NO_METRICS = [None, [], {"a": "b"}, {"a": None}, {"a": [1.0]}]


def report_with(metrics):
    return [{"value": 1.0, "metrics": metrics}]


WRONG_IN_A_RECORD = {
    "trial": NO_COUNTS,
    "rung": NO_COUNTS,
    "replicate": NO_COUNTS,
    "config": [None, 3, [], "x", {1: 2}],
    "trained_config": [None, 3, []],
    "state": ["pending", "Finished", "", None, 1, []],
    "value": [*NO_REALS, None],
    "loss": [*NO_REALS, None],
    "reports": [None, 1.0, "12", [None], ["1"], [True], [{}], *map(report_with, NO_METRICS)],
    "seconds": [*NO_REALS, None, -1],
    "width_ratio": [*NO_REALS, 0, -1],
    "overhead_seconds": [*NO_REALS, -0.5],
    "backward_passes": [-1, 1.5, "0", NAN],
    "reason": [3, ["why"]],
    "traceback": [3, {}],
    "surprise": [1],
}
WRONG_IN_A_MEASUREMENT = {
    "rung": NO_COUNTS,
    "density": [*NO_REALS, None, 0, -0.5, 1.5],
    "width_ratio": [*NO_REALS, None, 0, -1],
    "parameters": NO_COUNTS,
    "flops": [-1, 1.5, "0", NAN],
    "step_seconds": [*NO_REALS, None, 0, -1],
    "seconds": [*NO_REALS, None, -1],
    "skipped": [None, "ab", [1], ["ab"], [["a"]], [["a", 1]], [["a", "b", "c"]]],
    "surprise": [1],
}
WRONG_IN_AN_OPENING = {
    "exponents": [None, [], {"lr": "a"}, {"lr": None}, {"lr": NAN}, {"lr": [0]}, {1: 1.0}],
    "seconds": [*NO_REALS, None, -1],
    "basis": [3, ["a"]],
    "surprise": [1],
}
WRONG = [
    (event, name, value)
    for event, wrong in (
        (record(0), WRONG_IN_A_RECORD),
        (MEASURED, WRONG_IN_A_MEASUREMENT),
        (OPENING, WRONG_IN_AN_OPENING),
    )
    for name, values in wrong.items()
    for value in values
]


@pytest.mark.parametrize(("event", "name", "value"), WRONG)
def test_a_field_that_holds_what_it_cannot_is_named(event, name, value):
    kind, body = event
    State.replay(2, [TRIAL, MEASURED, event])
    with pytest.raises(StoreError, match=f"no valid events of a study.*{name}"):
        State.replay(2, [TRIAL, MEASURED, (kind, {**body, name: value})])


@pytest.mark.parametrize("name", ["trial", "config", "state"])
def test_a_field_that_is_missing_is_named(name):
    kind, body = record(0)
    with pytest.raises(StoreError, match=f"lacks the fields.*{name}"):
        State.replay(2, [TRIAL, (kind, {key: body[key] for key in body if key != name})])


def test_a_record_has_the_config_of_its_trial():
    kind, body = record(0)
    with pytest.raises(StoreError, match="trial 0 has another config"):
        State.replay(2, [TRIAL, (kind, {**body, "config": {"x": 9}})])


def death(rung, trial=0):
    return ("death", Death(trial, rung, 0, "killed", 1.0).to_json())


@pytest.mark.parametrize(
    ("events", "words"),
    [
        ([record(1)], "trial 0 has not entered rung 1"),
        ([death(1)], "trial 0 has not entered rung 1"),
        ([record(0), record(0)], "trial 0 has already ended at rung 0"),
        ([record(0), death(0)], "trial 0 has already ended at rung 0"),
        ([record(0), UP, record(1), record(1, loss=0.0)], "trial 0 has already ended at rung 1"),
        ([("record", {**record(0)[1], "replicate": 1})], "not trained under seed 1"),
        ([("death", {**death(0)[1], "replicate": 1})], "not trained under seed 1"),
    ],
)
def test_a_run_ends_once_and_where_the_trial_has_entered(events, words):
    State.replay(2, [TRIAL, death(0), death(0), record(0), UP, death(1), record(1)])
    with pytest.raises(StoreError, match=words):
        State.replay(2, [TRIAL, *events])
