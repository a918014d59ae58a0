"""Who climbs, told from records alone."""

from hypothesis import given
from hypothesis import strategies as st

from proxyhpo._engine.promotion import places, promotable
from proxyhpo._records.records import Record


def record(trial, loss, state="finished"):
    return Record(trial, 0, 0, {}, {}, state, loss, loss)


def test_places_of_failed_finalists_are_filled_at_most_once_each():
    assert [places(3, failures) for failures in (0, 1, 3, 9)] == [3, 4, 6, 6]


def test_stopped_trials_come_after_finished_ones_and_failed_ones_never():
    ended = {0: record(0, 0.1, "stopped"), 1: record(1, 0.9), 2: record(2, None, "failed")}
    assert promotable(ended, 0, 3, set()) == [1, 0]


def test_ties_go_to_the_earlier_trial():
    assert promotable({1: record(1, 0.5), 0: record(0, 0.5)}, 0, 1, set()) == [0]


@given(
    losses=st.lists(st.integers(0, 20), min_size=1, max_size=12),
    keep=st.integers(1, 5),
    order=st.randoms(use_true_random=False),
)
def test_early_promotions_are_those_of_the_end(losses, keep, order):
    """A promotion made before all trials have ended is never regretted, in whatever order."""
    trials = list(range(len(losses)))
    order.shuffle(trials)
    ended, entered = {}, set()
    for count, trial in enumerate(trials, start=1):
        ended[trial] = record(trial, float(losses[trial]))
        entered.update(promotable(ended, len(losses) - count, keep, entered))
    best = sorted(range(len(losses)), key=lambda trial: (losses[trial], trial))[:keep]
    assert entered == set(best)
