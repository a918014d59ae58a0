import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxyhpo._engine.worth import expected_gain

LOSSES = st.lists(st.floats(-1e3, 1e3), min_size=10, max_size=40)


@given(LOSSES)
def test_a_gain_is_never_negative_and_scales_with_the_losses(losses):
    gain = expected_gain(losses)
    assert gain >= 0
    assert expected_gain([2 * loss for loss in losses]) == pytest.approx(2 * gain, abs=1e-9)
    assert expected_gain([loss + 8 for loss in losses]) == pytest.approx(gain, abs=1e-6)


@given(LOSSES, st.floats(0, 1e3))
def test_the_better_the_best_one_is_the_less_is_to_be_gained(losses, lead):
    best = min(losses) - lead
    assert expected_gain([best, *losses, *losses]) <= expected_gain([*losses, *losses]) + 1e-9


def test_few_trials_tell_nothing():
    assert expected_gain([1.0] * 9) is None


def test_about_what_the_next_trials_of_a_random_search_gain():
    rng = np.random.default_rng(0)
    predicted, found = [], []
    for _ in range(300):
        losses = rng.normal(size=21)
        predicted.append(expected_gain(losses[:20].tolist()))
        found.append(max(0.0, losses[:20].min() - losses[20]))
    assert np.mean(predicted) == pytest.approx(np.mean(found), rel=0.6)
