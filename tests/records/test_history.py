from proxyhpo._records.history import History
from proxyhpo._records.records import Record


def test_failures_count_as_the_worst_seen():
    history = History()
    for number, (state, loss) in enumerate(
        [("finished", 1.0), ("failed", None), ("stopped", 5.0), ("finished", 2.0)]
    ):
        history.add_trial({"x": number})
        history.add_record(Record(number, 0, 0, {"x": number}, {}, state, loss, loss))
    history.add_trial({"x": 9})
    assert [loss for _, loss in history.observed()] == [1.0, 5.0, 5.0, 2.0]
    assert history.pending == [{"x": 9}]
    assert history.has({"x": 9})
    assert not history.has({"x": 10})


def test_a_stopped_trial_is_no_better_than_the_usual_one_that_finished():
    """Its early loss may be low where losses rise."""
    history = History()
    trials = [("stopped", 0.5), ("finished", 1.0), ("finished", 3.0), ("finished", 2.0)]
    for number, (state, loss) in enumerate([*trials, ("stopped", 2.5)]):
        history.add_trial({"x": number})
        history.add_record(Record(number, 0, 0, {"x": number}, {}, state, loss, loss))
    assert [loss for _, loss in history.observed()] == [2.0, 1.0, 3.0, 2.0, 2.5]


def test_only_the_first_rung_is_observed():
    history = History()
    history.add_trial({"x": 0})
    history.add_record(Record(0, 0, 0, {"x": 0}, {}, "finished", 1.0, 1.0))
    history.add_record(Record(0, 1, 0, {"x": 0}, {}, "finished", 7.0, 7.0))
    assert history.observed() == [({"x": 0}, 1.0)]
    assert len(history.records) == 2
