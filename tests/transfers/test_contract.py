import pytest

from proxyhpo.space import Float, Space
from proxyhpo.testing.transfers import TransferContract
from proxyhpo.transfers import Transfer
from proxyhpo.transfers.identity import IdentityTransfer
from proxyhpo.transfers.power_law import PowerLawTransfer


class TestIdentity(TransferContract):
    @pytest.fixture
    def transfer(self):
        return IdentityTransfer()


class TestPowerLaw(TransferContract):
    @pytest.fixture
    def transfer(self):
        return PowerLawTransfer()


class TestPowerLawByName(TransferContract):
    @pytest.fixture
    def transfer(self):
        return PowerLawTransfer({"rate": -1, "lr": 0}, exponent=0.5)

    @pytest.fixture
    def space(self):
        return Space({"rate": Float(1, 2), "lr": Float(1, 2), "other_lr": Float(1, 2)})


class Stateful(Transfer):
    calls = 0

    def exponents(self, space, history):
        self.calls += 1
        return {"lr": float(self.calls)}


class Rigid(Transfer):
    def exponents(self, space, history):
        return {"nesterov": 1.0}


class Infinite(Transfer):
    def exponents(self, space, history):
        return {"lr": float("inf")}


class Meddling(Transfer):
    def exponents(self, space, history):
        history.add_trial({"lr": 0.1})
        return {}


@pytest.mark.parametrize(
    "transfer, case",
    [
        (Stateful(), "test_equal_arguments_give_equal_exponents"),
        (Rigid(), "test_only_numbers_of_the_space_follow_the_width"),
        (Infinite(), "test_only_numbers_of_the_space_follow_the_width"),
        (Meddling(), "test_the_history_is_only_read"),
    ],
)
def test_the_contract_catches_what_breaks_it(transfer, case):
    space = Space({"lr": Float(1e-4, 1, log=True), "nesterov": True})
    with pytest.raises((AssertionError, TypeError, ValueError)):
        getattr(TransferContract(), case)(transfer, space)
