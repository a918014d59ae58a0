import pytest

from proxyhpo._engine.prediction import Timing, fixed_share, step_ratio
from proxyhpo._records.history import History
from proxyhpo._records.opening import Measurement
from proxyhpo._records.records import Record
from proxyhpo._records.rung import Rung

LADDER = [Rung(1 / 8, keep=6), Rung(1 / 2, keep=2), Rung(1)]
TWO = [Rung(1 / 8, keep=2), Rung(1)]
STEPS = {0: 0.06, 2: 1.0}


def timing(*records, ladder=LADDER, steps=STEPS, flops=None, passes=None, widths=None):
    """From (trial, rung, state, seconds of training, of making) and the seconds of steps.

    ``passes`` is the number of backward passes of each training at rung 0, if it is known, and
    ``widths`` has the width ratio of each trial.
    """
    history = History()
    for rung, seconds in steps.items():
        density = ladder[rung].density or 0.5
        flop = None if flops is None else flops[rung]
        history.add_measurement(Measurement(rung, density, density, 1, flop, seconds))
    for trial in range(max((record[0] for record in records), default=-1) + 1):
        history.add_trial({"x": trial})
    for trial, rung, state, training, making in records:
        value = None if state == "failed" else 1.0
        history.add_record(
            Record(trial, rung, 0, {"x": trial}, {}, state, value, value, (1.0,) * 4,
                   seconds=training + making, overhead_seconds=making,
                   backward_passes=None if rung else passes,
                   width_ratio=None if rung or widths is None else widths[trial])
        )  # fmt: skip
    return Timing(ladder, history)


def proxies(n, seconds=0.06, making=0.0, state="finished", first=0):
    return [(trial, 0, state, seconds, making) for trial in range(first, first + n)]


def test_nothing_is_known_before_the_first_training():
    for empty in (timing(steps={}), timing(), timing(*proxies(3, seconds=0.0))):
        assert (empty.trial, empty.base, empty.trial_share()) == (None, None, None)


def test_by_step_times_before_a_training_has_ended_above():
    found = timing(*proxies(20))
    assert found.trial == pytest.approx(0.06)
    assert found.base == pytest.approx(1)
    assert found.training(1) == pytest.approx(0.06 + 0.94 * 3 / 7)  # not measured yet, rather much
    assert timing(*proxies(20), steps={**STEPS, 1: 0.3}).training(1) == pytest.approx(0.3)


def test_making_a_network_takes_no_longer_above():
    assert timing(*proxies(20, making=0.5)).base == pytest.approx(0.5 + 1)


def test_those_that_climb_are_not_stopped():
    found = timing(*proxies(1), *proxies(9, seconds=0.01, state="stopped", first=1))
    assert found.trial == pytest.approx((0.06 + 9 * 0.01) / 10)
    assert found.base == pytest.approx(1)


def test_a_budget_and_a_cost_are_charged_as_they_say():
    shorter = [Rung(1, budget=0.2, keep=3), Rung(1)]
    assert timing(*proxies(9, seconds=1.0), ladder=shorter, steps={0: 1.0, 1: 1.0}).base == 5
    cost = [Rung(1 / 8, keep=6), Rung(cost=0.25, keep=2), Rung(1)]
    assert timing(*proxies(9), ladder=cost).training(1) == pytest.approx(0.25)


def test_what_trainings_take_replaces_what_steps_say():
    """Steps that were measured on a busy machine must not outlive the first full training."""
    busy = {0: 0.01, 1: 10.0}
    before = timing(*proxies(8, seconds=1.2), ladder=TWO, steps=busy)
    assert before.base == pytest.approx(1200)
    after = timing(*proxies(8, seconds=1.2), (3, 1, "finished", 2.4, 0), ladder=TWO, steps=busy)
    assert after.base == pytest.approx(2.4)
    assert after.trial_share() == pytest.approx(0.5)
    assert after.ratio(1) == pytest.approx(2)


def test_a_small_network_that_was_trained_on_both_does_not_decide_for_the_others():
    """The config that was promoted has the smallest of the networks, which saves nothing."""
    records = [*proxies(3, seconds=0.2), *proxies(1, seconds=0.05, making=0.1, first=3)]
    tiny = (3, 1, "finished", 0.1, 0.0)
    found = timing(*records, tiny, ladder=TWO, steps={0: 0.1, 1: 1.0})
    mean = (3 * 0.2 + 0.15) / 4
    assert found.trial_share() == pytest.approx(mean / (2 * (3 * 0.2 + 0.05) / 4))
    assert found.trial_share() < mean / found.base


def test_a_pair_that_saves_nothing_does_not_decide_if_other_full_trainings_took_longer():
    """Most trainings of the full network were of trials that did not begin on a proxy."""
    pair = [*proxies(4, seconds=0.2), (3, 1, "finished", 0.2, 0.0)]
    direct = [(trial, 1, "finished", 1.0, 0.0) for trial in (4, 5, 6)]
    found = timing(*pair, *direct, ladder=TWO, steps={0: 0.1, 1: 1.0})
    assert found.observed_ratio(1) == pytest.approx(1)
    assert found.trial_share() == pytest.approx(0.2 / found.base) == pytest.approx(0.2 / 0.8)


def test_steps_count_until_a_few_trials_were_trained_on_both_if_networks_differ():
    """The networks that were trained on both are so small that a proxy saves nothing."""
    for n, expected in [(1, 1 / 10), (2, 1 / 10), (3, 1.0)]:
        above = [(trial, 1, "finished", 0.1, 0) for trial in range(n)]
        records = [*proxies(8, seconds=0.1), *above]
        found = timing(*records, ladder=TWO, steps={0: 0.1, 1: 1.0}, widths=[0.25, 0.3] * 4)
        assert found.trial_share() == pytest.approx(expected)
        same = timing(*records, ladder=TWO, steps={0: 0.1, 1: 1.0}, widths=[0.25] * 8)
        assert same.trial_share() == pytest.approx(1.0)


def test_the_share_that_proxies_cannot_reduce_is_unknown_if_networks_differ():
    records = [*proxies(8, seconds=0.55), (3, 1, "finished", 1.0, 0)]
    widths = [0.25, 0.3] * 4
    found = timing(*records, ladder=TWO, steps={0: 0.1, 1: 1.0}, widths=widths)
    assert found.fixed_share is None
    same = timing(*records, ladder=TWO, steps={0: 0.1, 1: 1.0}, widths=[0.25] * 8)
    assert same.fixed_share == pytest.approx(0.5)


def test_a_step_gains_no_more_than_its_work_allows():
    busy = {0: 0.01, 1: 10.0}
    found = timing(*proxies(8), ladder=TWO, steps=busy, flops={0: 100, 1: 1600})
    assert found.ratio(1) == pytest.approx(32)
    assert step_ratio(found.history, TWO, 0) == 1


def test_the_share_that_proxies_cannot_reduce_is_estimated_from_trainings_on_both():
    records = [*proxies(8, seconds=0.55), (3, 1, "finished", 1.0, 0)]
    found = timing(*records, ladder=TWO, steps={0: 0.1, 1: 1.0})
    assert found.fixed_share == pytest.approx(0.5)
    assert timing(*records[:8], ladder=TWO, steps={0: 0.1, 1: 1.0}).fixed_share is None
    assert fixed_share(training=0.05, step=0.1) == 0
    assert fixed_share(training=0.9, step=1) is None


SLOW_LOOP = {0: 0.001, 1: 0.019}
"""Seconds of a step: 19 times longer on the full network."""


def test_only_what_is_spent_in_steps_takes_longer_on_the_full_network():
    """100 steps are a hundredth of this training, so the other 99 hundredths stay as they are."""
    found = timing(*proxies(3, seconds=10.0, making=1.0), ladder=TWO, steps=SLOW_LOOP, passes=100)
    assert found.share_of_steps == pytest.approx(0.01)
    assert found.base == pytest.approx(1 + 9.9 + 1.9)
    assert found.is_known(1)
    assert found.fixed_share is None  # the optimizer may take the rest, and it does not stay
    assert found.predicted_trial_share() == pytest.approx(11 / 12.8)
    assert found.trial_share() is None


def test_without_a_count_the_ratio_of_steps_is_an_upper_bound():
    unknown = timing(*proxies(3, seconds=10.0), ladder=TWO, steps=SLOW_LOOP)
    assert unknown.base == pytest.approx(190)
    assert (unknown.is_known(0), unknown.is_known(1)) == (True, False)
    assert (unknown.fixed_share, unknown.predicted_trial_share()) == (None, None)
    known = timing(*proxies(3), (0, 1, "finished", 0.5, 0), ladder=TWO, steps=SLOW_LOOP)
    assert known.is_known(1)


@pytest.mark.parametrize("passes", [1, 1000, 10**9])
def test_no_count_predicts_more_than_the_ratio_of_steps(passes):
    """As with example_inputs of a larger batch than that of trainings, or on a busy machine."""
    found = timing(*proxies(3, seconds=1.0), ladder=TWO, steps=SLOW_LOOP, passes=passes)
    assert 1 <= found.base <= 19


def test_a_slow_first_training_does_not_decide():
    records = [(0, 0, "finished", 500.0, 0), *proxies(2, seconds=10.0, first=1)]
    found = timing(*records, ladder=TWO, steps=SLOW_LOOP, passes=100)
    assert found.share_of_steps == pytest.approx(0.01)


def test_budgets_alone_need_no_count():
    shorter = [Rung(1, budget=0.2, keep=3), Rung(1)]
    assert timing(*proxies(9), ladder=shorter, steps={0: 1.0, 1: 1.0}).is_known(1)


def test_a_few_trials_are_needed_to_judge_proxies():
    few = timing(*proxies(2, seconds=10.0), ladder=TWO, steps=SLOW_LOOP, passes=100)
    assert few.predicted_trial_share() is None
