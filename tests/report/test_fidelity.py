import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxyhpo._records.history import History
from proxyhpo._records.records import Record
from proxyhpo._records.rung import Rung
from proxyhpo._report.fidelity import fidelities, fidelity

LOSSES = st.permutations(range(14))


def history(*losses, failed=(), controls=()):
    """Of each rung, trial → loss."""
    made = History()
    for trial in controls:
        made.add_control(trial)
    for trial in range(len(losses[0])):
        made.add_trial({"x": trial})
    for rung, by_trial in enumerate(losses):
        for trial, loss in by_trial.items():
            if (trial, rung) in failed:
                record = Record(trial, rung, 0, {}, {}, "failed")
            else:
                record = Record(trial, rung, 0, {}, {}, "finished", loss, loss)
            made.add_record(record)
    return made


def test_a_proxy_that_ranks_alike_is_trusted_with_reranking():
    found = fidelity(range(12), range(12))
    assert found.verdict == "trust with re-ranking"
    assert found.spearman.value == pytest.approx(1)
    assert (found.overlap.value, found.regret.value) == (1, 0)


def test_a_proxy_that_ranks_the_other_way_round_is_refused():
    assert fidelity(range(12), range(12, 0, -1)).verdict == "do not use this proxy"


def test_a_planted_bad_proxy_is_refused():
    rng = np.random.default_rng(0)
    verdicts = [fidelity(rng.random(12), rng.random(12)).verdict for _ in range(100)]
    assert verdicts.count("do not use this proxy") >= 95 - 4  # two standard errors


def test_a_good_proxy_is_seldom_refused():
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(60):
        truth, noise = rng.standard_normal((2, 12))
        refused += fidelity(truth + 0.5 * noise, truth).verdict == "do not use this proxy"
    assert refused <= 3


def test_a_weak_relation_is_refused_however_sure_it_is():
    rng = np.random.default_rng(0)
    truth, noise = rng.standard_normal((2, 150))
    found = fidelity(truth + 3 * noise, truth)
    assert found.p_value < 0.01
    assert found.verdict == "do not use this proxy"


@pytest.mark.parametrize("n", [0, 1, 2, 5, 7])
def test_few_configs_are_too_little_evidence(n):
    for upper in (range(n), range(n, 0, -1)):
        assert fidelity(range(n), upper).verdict == "too little evidence"


def test_equal_losses_tell_nothing():
    found = fidelity(range(12), [1.0] * 12)
    assert found.spearman is None
    assert found.verdict == "too little evidence"
    assert str(found) == "rung 0 standing in for rung 1 (n=12): too little evidence"


@settings(max_examples=30)
@given(LOSSES, LOSSES)
def test_configs_selected_as_the_best_never_count_against_a_proxy(lower, upper):
    open_to_all = fidelity(lower, upper).verdict
    picked = fidelity(lower, upper, picked=14).verdict
    if open_to_all == "do not use this proxy":
        assert picked == "too little evidence"
    else:
        assert picked == open_to_all


@settings(max_examples=20)
@given(LOSSES, LOSSES, st.randoms(use_true_random=False))
def test_the_order_of_the_configs_does_not_matter(lower, upper, random):
    pairs = list(zip(lower, upper, strict=True))
    random.shuffle(pairs)
    one, two = fidelity(lower, upper), fidelity(*zip(*pairs, strict=True))
    for name in ("spearman", "kendall", "overlap", "regret"):
        assert getattr(one, name).value == pytest.approx(getattr(two, name).value)
    assert one.p_value == pytest.approx(two.p_value, abs=0.03)


def test_trust_needs_a_second_seed_that_ranks_no_better():
    rng = np.random.default_rng(0)
    truth = rng.standard_normal(60)
    noisy = [truth + 0.2 * rng.standard_normal(60) for _ in range(3)]
    coarse = truth + 0.7 * rng.standard_normal(60)
    assert fidelity(noisy[0], noisy[1]).verdict == "trust with re-ranking"
    assert fidelity(noisy[0], noisy[1], noisy[2]).verdict == "trust"
    assert fidelity(coarse, noisy[1], noisy[2]).verdict == "trust with re-ranking"
    few = fidelity(noisy[0][:20], noisy[1][:20], noisy[2][:20])
    assert few.verdict == "trust with re-ranking"
    assert few.ceiling.n == 20


def test_the_ceiling_is_of_the_configs_that_have_a_second_seed():
    again = [*range(9), *[float("nan")] * 3]
    found = fidelity(range(12), range(12), again)
    assert (found.n, found.ceiling.n) == (12, 9)
    assert "another seed of rung 1" in str(found)
    assert fidelity(range(12), range(12), [float("nan")] * 12).behind is None


def test_only_trials_that_ended_well_on_both_count():
    losses = {trial: trial for trial in range(4)}
    [found] = fidelities(history(losses, losses, failed=[(3, 1)]), [Rung(0.5, keep=9), Rung(1)])
    assert found.n == 3
    assert found.spearman.value == pytest.approx(1)


def test_rungs_are_compared_in_turn_and_end_to_end():
    losses = {trial: trial for trial in range(4)}
    ladder = [Rung(0.25, keep=4), Rung(0.5, keep=4), Rung(1)]
    found = fidelities(history(losses, losses, losses), ladder)
    assert [(each.lower, each.upper) for each in found] == [(0, 1), (1, 2), (0, 2)]
    assert fidelities(history(losses), [Rung(1)]) == []


def test_controls_are_distinguished_from_selected_trials():
    below = {trial: trial for trial in range(20)}
    ladder = [Rung(0.5, keep=3), Rung(1)]
    for above, controls, picked in [
        ((0, 1, 2), (), 3),
        ((0, 1, 2, 11, 17), (11, 17), 3),
        ((0, 5, 2), (2,), 2),  # 5 was promoted early; 2 is a control that ranks among the best
        (range(20), (), 0),  # no selection
    ]:
        losses = {trial: trial for trial in above}
        [found] = fidelities(history(below, losses, controls=controls), ladder)
        assert (found.n, found.picked) == (len(above), picked)
    above = {trial: trial for trial in range(4)}
    [found] = fidelities(history(below, above, failed=[(2, 1)]), ladder)
    assert (found.n, found.picked) == (3, 3)
    [found] = fidelities(history(below, above), [Rung(0.5, keep=20), Rung(1)])
    assert (found.n, found.picked) == (4, 0)  # interrupted: all were going to reach it


def test_a_rung_that_differs_only_in_the_seed_is_the_ceiling():
    losses = {trial: trial for trial in range(12)}
    ladder = [Rung(0.25, keep=12), Rung(1, keep=12), Rung(1)]
    first, second, ends = fidelities(history(losses, losses, losses), ladder)
    assert first.ceiling.spearman.value == pytest.approx(1)
    assert ends.ceiling.n == 12
    assert second.ceiling is None
