import pytest

from proxyhpo.engine.state import State
from proxyhpo.errors import StoreError
from proxyhpo.records import Record

TRIAL = ("trial", {"number": 0, "config": {"x": 1}, "seconds": 0.5})

SECOND = ("trial", {"number": 1, "config": {"x": 2}})


def record(rung, state="finished", loss=1.0, trial=0):
    return ("record", Record(trial, rung, 0, {"x": 1}, {}, state, loss, loss).to_json())


def test_what_began_and_has_not_ended_is_unfinished():
    assert State.replay(2, [TRIAL]).unfinished == [(0, 0)]
    events = [TRIAL, record(0), ("promotion", {"trial": 0, "rung": 1})]
    assert State.replay(2, events).unfinished == [(0, 1)]
    assert State.replay(2, [*events, record(1)]).unfinished == []


def test_the_best_is_of_the_full_network_and_finished():
    first, second = record(1, loss=2.0), record(1, loss=1.0, trial=1)
    events = [TRIAL, SECOND, record(0, loss=-9.0), first, second]
    assert State.replay(2, events).best.trial == 1
    assert State.replay(2, [TRIAL, record(0), record(1, state="stopped")]).best is None


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
    ],
)
def test_events_of_another_form_are_refused(event):
    with pytest.raises(StoreError, match="no events of a study"):
        State.replay(2, [TRIAL, event])
