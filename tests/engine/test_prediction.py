import pytest

from proxyhpo._engine.prediction import climb_seconds
from proxyhpo._records.opening import Measurement
from proxyhpo._records.records import Record
from proxyhpo._records.rung import Rung

LADDER = [Rung(1 / 8, keep=6), Rung(1 / 2, keep=2), Rung(1)]


def measurement(rung, density, step):
    return Measurement(rung, density, density, 1, None, step)


BOTH_ENDS = {0: measurement(0, 1 / 8, 0.06), 2: measurement(2, 1.0, 1.0)}


def ended(n, seconds=0.06, making=0.0, state="finished"):
    return [
        Record(i, 0, 0, {}, {}, state, 1.0, 1.0, seconds=seconds + making, overhead_seconds=making)
        for i in range(n)
    ]


def test_nothing_is_known_before_the_first_training():
    assert climb_seconds(LADDER, {}, []) == 0
    assert climb_seconds(LADDER, BOTH_ENDS, ended(3, seconds=0)) == 0


def test_a_rung_between_is_charged_less_than_the_full_network():
    middle = 0.06 + 0.94 * 3 / 7
    assert climb_seconds(LADDER, BOTH_ENDS, ended(20)) == pytest.approx(0.06 + 6 * middle + 2)
    measured = {**BOTH_ENDS, 1: measurement(1, 1 / 2, 0.3)}
    assert climb_seconds(LADDER, measured, ended(20)) == pytest.approx(0.06 + 6 * 0.3 + 2)


def test_no_more_climb_than_there_are():
    measured = {**BOTH_ENDS, 1: measurement(1, 1 / 2, 0.3)}
    assert climb_seconds(LADDER, measured, ended(1)) == pytest.approx(0.06 + 2 * 0.3 + 2)
    assert climb_seconds(LADDER, measured, ended(1), controls=2) == pytest.approx(0.06 + 2.6)
    assert climb_seconds(LADDER, measured, ended(9), controls=2) == pytest.approx(0.06 + 5.8)


def test_making_a_network_takes_no_longer_above():
    measured = {**BOTH_ENDS, 1: measurement(1, 1 / 2, 0.3)}
    more = climb_seconds(LADDER, measured, ended(20, making=0.5))
    assert more == pytest.approx(climb_seconds(LADDER, measured, ended(20)) + (1 + 6 + 2) * 0.5)


def test_workers_climb_side_by_side():
    measured = {**BOTH_ENDS, 1: measurement(1, 1 / 2, 0.3)}
    assert climb_seconds(LADDER, measured, ended(20), workers=4) == pytest.approx(0.06 + 0.6 + 1)


def test_a_budget_and_a_cost_are_charged_as_they_say():
    ladder = [Rung(1, budget=0.2, keep=3), Rung(1)]
    same = {0: measurement(0, 1.0, 1.0), 1: measurement(1, 1.0, 1.0)}
    assert climb_seconds(ladder, same, ended(9, seconds=1)) == pytest.approx(1 + 3 * 5)
    ladder = [Rung(1 / 8, keep=6), Rung(cost=0.25, keep=2), Rung(1)]
    assert climb_seconds(ladder, BOTH_ENDS, ended(9)) == pytest.approx(0.06 + 6 * 0.25 + 2)


def test_those_that_climb_are_not_stopped():
    whole, stopped = ended(1), ended(9, seconds=0.01, state="stopped")
    ladder = [Rung(1 / 8, keep=2), Rung(1)]
    found = climb_seconds(ladder, {0: BOTH_ENDS[0], 1: BOTH_ENDS[2]}, [*whole, *stopped])
    assert found == pytest.approx((0.06 + 9 * 0.01) / 10 + 2)
