"""The contract of every :class:`~proxyhpo.stoppers.Stopper`, as tests."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from proxyhpo.stoppers import Curve, Stopper
from proxyhpo.testing._random_states import global_random_states

__all__ = ["StopperContract", "drawn_peers"]

STEPS = 27


class StopperContract:
    """Subclass it as ``TestMyStopper`` and provide the fixture ``stopper``."""

    @pytest.fixture
    def stopper(self) -> Stopper:
        """The stopper to be tested."""
        raise NotImplementedError("provide a fixture `stopper` that returns a Stopper")

    @pytest.fixture(params=[1, 2, 3, 5, 8, 13, 21, 34])
    def peers(self, request: pytest.FixtureRequest) -> list[Curve]:
        """A few peers, or many."""
        return drawn_peers(request.param)

    def test_the_first_training_is_not_ended(self, stopper: Stopper) -> None:
        """There is nothing to compare it with."""
        assert _ended_at(stopper, [1e6 + step for step in range(STEPS)], []) is None

    def test_the_best_of_all_is_never_ended(self, stopper: Stopper, peers: list[Curve]) -> None:
        """Neither is one that is as good as the best of the others at each step."""
        best = [min(c[step] for c in peers if len(c) > step) for step in range(STEPS)]
        assert _ended_at(stopper, best, peers) is None
        assert _ended_at(stopper, [loss - 1 for loss in best], peers) is None
        assert _ended_at(stopper, peers[0], [peers[0]] * 30) is None

    def test_a_better_training_is_not_ended_before_a_worse_one(
        self, stopper: Stopper, peers: list[Curve]
    ) -> None:
        """A training that is better than another one at each step is not ended before it."""
        rng = np.random.default_rng(len(peers))
        for _ in range(20):
            curve = list(_curve(rng))
            better = [loss - float(rng.exponential()) for loss in curve]
            assert (_ended_at(stopper, better, peers) or STEPS) >= (
                _ended_at(stopper, curve, peers) or STEPS
            )

    def test_a_much_worse_training_is_ended(self, stopper: Stopper) -> None:
        """A training that stays far worse than many others is ended before its last step."""
        rng = np.random.default_rng(0)
        peers = [_curve(rng) for _ in range(40)]
        step = _ended_at(stopper, [1000.0] * STEPS, peers)
        assert step is not None
        assert step < STEPS

    def test_the_order_of_peers_does_not_matter(self, stopper: Stopper, peers: list[Curve]) -> None:
        """Trainings that run at the same time may end in any order."""
        rng = np.random.default_rng(len(peers))
        for _ in range(10):
            curve = _curve(rng)
            other = [peers[int(index)] for index in rng.permutation(len(peers))]
            assert _answers(stopper, curve, peers) == _answers(stopper, curve, other)

    def test_equal_arguments_give_equal_answers(self, stopper: Stopper, peers: list[Curve]) -> None:
        """A stopper has settings but no state and no randomness, and returns True or False."""
        curve = _curve(np.random.default_rng(1))
        before = global_random_states()
        first = _answers(stopper, curve, peers)
        _answers(stopper, [loss + 1 for loss in curve], peers[:1])
        assert _answers(stopper, curve, peers) == first
        assert {type(answer) for answer in first} == {bool}
        assert global_random_states() == before

    def test_the_curves_are_only_read(self, stopper: Stopper, peers: list[Curve]) -> None:
        """The curves are not modified."""
        curve = _curve(np.random.default_rng(2))
        before = [list(losses) for losses in (curve, *peers)]
        stopper.should_stop(curve, peers)
        assert [list(losses) for losses in (curve, *peers)] == before


def drawn_peers(n: int) -> list[Curve]:
    """``n`` falling, noisy curves, of which every third was stopped; the first occurs twice."""
    rng = np.random.default_rng(n)
    curves = [_curve(rng) for _ in range(n)]
    for index in range(2, n, 3):
        curves[index] = Curve(curves[index][: int(rng.integers(1, STEPS))])
    return [*curves, curves[0]]


def _curve(rng: np.random.Generator) -> Curve:
    """A curve with noise that falls towards its own level at its own rate."""
    steps = np.arange(1, STEPS + 1)
    losses = rng.normal() + rng.exponential() * steps ** -rng.uniform(0.2, 1.5)
    return Curve((losses + 0.1 * rng.standard_normal(STEPS)).tolist())


def _answers(stopper: Stopper, losses: Sequence[float], peers: Sequence[Curve]) -> list[bool]:
    """The answer after each report, independent of earlier answers."""
    return [stopper.should_stop(Curve(losses[:step]), peers) for step in range(1, len(losses) + 1)]


def _ended_at(stopper: Stopper, losses: Sequence[float], peers: Sequence[Curve]) -> int | None:
    """The step at which a training is ended; None if it is not."""
    answers = _answers(stopper, losses, peers)
    return answers.index(True) + 1 if True in answers else None
