import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxyhpo.agreement import agreements, rank_correlations
from proxyhpo.records import History, Record

DISTINCT = st.lists(st.integers(-1000, 1000), min_size=3, max_size=20, unique=True)


@given(DISTINCT)
def test_a_scale_that_keeps_the_order_agrees_fully(x):
    assert rank_correlations(x, [3.0 * v + 1 for v in x]) == pytest.approx((1, 1))
    assert rank_correlations(x, [-v for v in x]) == pytest.approx((-1, -1))


def test_undefined_is_none():
    assert rank_correlations([1, 2], [1, 2]) == (None, None)
    assert rank_correlations([1, 1, 1], [1, 2, 3]) == (None, None)


def test_only_trials_that_ended_well_on_both_count():
    history = History()
    for trial, (low, high) in enumerate([(1, 1), (2, 2), (3, 3), (4, None)]):
        history.add_trial({"x": trial})
        history.add_record(Record(trial, 0, 0, {}, {}, "finished", low, low))
        state = "failed" if high is None else "finished"
        history.add_record(Record(trial, 1, 0, {}, {}, state, high, high))
    [agreement] = agreements(history, 2)
    assert (agreement.n, agreement.kendall, agreement.spearman) == (3, 1, 1)
    assert "Kendall +1.00" in str(agreement)
    assert "too few" in str(agreements(History(), 2)[0])
