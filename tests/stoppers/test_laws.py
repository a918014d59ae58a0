"""What the rules of stopping say, and laws that hold for any curves."""

from statistics import fmean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxyhpo.errors import ArgumentError
from proxyhpo.stoppers import ASHAStopper, Curve, LaggingStopper, MedianStopper

STOPPERS = [
    MedianStopper(min_peers=1),
    MedianStopper(min_peers=3, min_steps=2),
    ASHAStopper(),
    ASHAStopper(min_steps=2, reduction=2),
    LaggingStopper(min_steps=2),
    LaggingStopper(),
]
# Few levels, so that ties are common; many, so that orders are.
losses = st.one_of(st.sampled_from([0.1, 0.3, 0.7]), st.floats(-1e6, 1e6))
curves = st.lists(losses, min_size=1, max_size=10)
populations = st.lists(curves, min_size=1, max_size=8)
each_stopper = pytest.mark.parametrize("stopper", STOPPERS, ids=repr)


def survives(stopper, curve, peers):
    """How many steps a training gets."""
    peers = [Curve(peer) for peer in peers]
    for step in range(1, len(curve) + 1):
        if stopper.should_stop(Curve(curve[:step]), peers):
            return step
    return len(curve)


@each_stopper
@given(population=populations, gains=st.lists(st.floats(0, 1e6), min_size=10, max_size=10))
@settings(max_examples=100, deadline=None)
def test_the_best_of_all_is_never_ended(stopper, population, gains):
    longest = max(map(len, population))
    best = [
        min(peer[step] for peer in population if len(peer) > step) - gains[step]
        for step in range(longest)
    ]
    assert survives(stopper, best, population) == longest


@each_stopper
@given(curve=curves, population=populations, gains=st.lists(losses.map(abs), min_size=10))
@settings(max_examples=100, deadline=None)
def test_a_training_that_is_better_at_each_step_is_not_ended_before(
    stopper, curve, population, gains
):
    better = [loss - gain for loss, gain in zip(curve, gains, strict=False)]
    assert survives(stopper, better, population) >= survives(stopper, curve, population)


@each_stopper
@given(curve=curves, population=populations, shift=st.integers(-8, 8), power=st.integers(-3, 3))
@settings(max_examples=50, deadline=None)
def test_the_scale_of_losses_does_not_matter(stopper, curve, population, shift, power):
    def rescaled(losses):  # whole numbers, so that nothing is rounded
        return [(int(loss) * 2520 + shift) * 2.0**power for loss in losses]

    def whole(losses):
        return [int(loss) * 2520.0 for loss in losses]

    assert survives(stopper, whole(curve), map(whole, population)) == survives(
        stopper, rescaled(curve), map(rescaled, population)
    )


@given(curve=curves)
def test_a_curve_knows_its_best_and_its_mean_at_each_step(curve):
    known = Curve(curve)
    assert list(known) == curve
    for step in range(1, len(curve) + 1):
        assert known.best(step) == min(curve[:step])
        assert known.mean(step) == pytest.approx(fmean(curve[:step]), abs=1e-9)
        assert known.mean(step) >= known.best(step)
    assert (known.best(), known.mean()) == (known.best(len(curve)), known.mean(len(curve)))
    for step in (0, len(curve) + 1):
        with pytest.raises(IndexError, match=rf"step must be in \[1, {len(curve)}\]"):
            known.best(step)


def test_median_waits_for_enough_that_have_got_there():
    stopper = MedianStopper(min_peers=3, min_steps=2)
    three = [[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]]
    assert survives(stopper, [9.0, 9.0], three) == 2
    assert survives(stopper, [9.0, 2.0], three) == 2  # as good as the median is good enough
    assert not stopper.should_stop(Curve([9.0, 2.0]), [Curve(curve) for curve in three])
    assert not stopper.should_stop(Curve([9.0, 9.0]), [Curve(c) for c in (*three[:2], [3.0])])
    assert not stopper.should_stop(Curve([9.0]), [Curve(curve) for curve in three])


def test_asha_lets_one_in_so_many_through_at_each_step_that_is_judged():
    stopper = ASHAStopper(min_steps=2, reduction=3)
    judged = [step for step in range(1, 60) if stopper._is_judged(step)]
    assert judged == [2, 6, 18, 54]
    peers = [Curve([0.0, loss, 0.0]) for loss in (1.0, 2.0, 3.0, 4.0, 5.0)]
    lived = [x for x in (0.5, 1.5, 2.5, 4.5) if not stopper.should_stop(Curve([9, x]), peers)]
    assert lived == [0.5, 1.5]  # two of six
    assert stopper.should_stop(Curve([9, 1.5]), peers[:4])  # one of five
    assert not stopper.should_stop(Curve([9.0]), peers)
    assert not stopper.should_stop(Curve([9.0, 9.0, 9.0]), peers)


def test_lagging_compares_with_the_best_at_half_the_steps():
    stopper = LaggingStopper(min_steps=2)
    best, other = Curve([8.0, 4.0, 2.0, 1.0]), Curve([3.0, 3.0, 3.0, 3.0])
    assert stopper.should_stop(Curve([9.0, 8.5]), [best, other])
    assert not stopper.should_stop(Curve([9.0, 8.0]), [best, other])  # the other is not the best
    assert not stopper.should_stop(Curve([9.0]), [best])
    stopped = Curve([8.0, 4.0])
    assert not stopper.should_stop(Curve([9.0] * 5 + [4.0]), [stopped])
    assert stopper.should_stop(Curve([9.0] * 5 + [4.5]), [stopped])


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: MedianStopper(min_peers=0), "min_peers must be a whole number >= 1, got 0"),
        (lambda: MedianStopper(min_steps=True), "min_steps must be a whole number >= 1, got True"),
        (lambda: ASHAStopper(min_steps=1.0), r"min_steps must be a whole number >= 1, got 1\.0"),
        (lambda: ASHAStopper(reduction=1), "reduction must be a whole number >= 2, got 1"),
        (lambda: LaggingStopper(min_steps=1), "min_steps must be a whole number >= 2, got 1"),
    ],
)
def test_settings_that_cannot_be_are_refused(make, message):
    with pytest.raises(ArgumentError, match=message):
        make()


def test_median_ends_nothing_at_chance_level():
    """Accuracies as losses: all begin near .9, and end at .4 or stay where they are."""
    best = Curve([0.902, 0.7, 0.4])  # the eventual winner, among the worst at the first report
    others = [Curve([first, 0.8, 0.6]) for first in (0.898, 0.899, 0.9, 0.901)]
    stopper = MedianStopper(min_peers=5)
    peers = [best, *others]
    assert survives(stopper, [0.902, 0.7, 0.5], peers) == 3
    assert survives(stopper, [0.91, 0.8, 0.6], [*others, Curve([0.89, 0.7, 0.4])]) == 3  # by noise
    assert survives(stopper, [0.902, 0.902, 0.902], peers) == 2  # it has not left chance level
    assert survives(stopper, [2.3, 0.5, 0.5], peers) == 1  # far behind what chance gives
