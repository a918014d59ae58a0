import inspect

import pytest

from proxyhpo.stoppers import ASHAStopper, LaggingStopper, MedianStopper, Stopper
from proxyhpo.testing.stoppers import StopperContract, drawn_peers


class TestMedian(StopperContract):
    @pytest.fixture(params=[{}, {"min_peers": 1, "min_steps": 5}], ids=["default", "eager"])
    def stopper(self, request):
        return MedianStopper(**request.param)


class TestASHA(StopperContract):
    @pytest.fixture(params=[{}, {"min_steps": 2, "reduction": 4}], ids=["default", "late"])
    def stopper(self, request):
        return ASHAStopper(**request.param)


class TestLagging(StopperContract):
    @pytest.fixture(params=[{}, {"min_steps": 2}], ids=["default", "early"])
    def stopper(self, request):
        return LaggingStopper(**request.param)


class Stateful(Stopper):
    calls = 0

    def should_stop(self, losses, peers):
        self.calls += 1
        return self.calls > 40


class Upwards(Stopper):
    def should_stop(self, losses, peers):
        return bool(peers) and losses[-1] < min(peer[-1] for peer in peers)


class Alone(Stopper):
    def should_stop(self, losses, peers):
        return losses[-1] > 10


class FirstPeer(Stopper):
    def should_stop(self, losses, peers):
        return bool(peers) and losses.best() > peers[0].best()


class Never(Stopper):
    def should_stop(self, losses, peers):
        return False


class Meddling(Stopper):
    def should_stop(self, losses, peers):
        losses.append(0.0)
        return False


@pytest.mark.parametrize(
    "stopper, case",
    [
        (Stateful(), "test_equal_arguments_give_equal_answers"),
        (Upwards(), "test_the_best_of_all_is_never_ended"),
        (Upwards(), "test_a_better_training_is_not_ended_before_a_worse_one"),
        (Alone(), "test_the_first_training_is_not_ended"),
        (FirstPeer(), "test_the_order_of_peers_does_not_matter"),
        (Never(), "test_a_much_worse_training_is_ended"),
        (Meddling(), "test_the_curves_are_only_read"),
    ],
)
def test_the_contract_catches_what_breaks_it(stopper, case):
    test = getattr(StopperContract(), case)
    takes_peers = "peers" in inspect.signature(test).parameters
    with pytest.raises(AssertionError):
        test(stopper, *([drawn_peers(21)] if takes_peers else []))
