from inspect import signature

import pytest

from proxyhpo.space import Float, Space
from proxyhpo.testing.transfers import TransferContract
from proxyhpo.transfers import IdentityTransfer, LayerwiseTransfer, PowerLawTransfer, Transfer


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


class TestLayerwise(TransferContract):
    @pytest.fixture
    def transfer(self):
        return LayerwiseTransfer()


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


class Vanishing(Transfer):
    def exponents(self, space, history):
        return {}

    def update_rule(self):
        return lambda update: 0.0


class Restless(Vanishing):
    def update_rule(self):
        return lambda update: 2.0


class Forgetful(Vanishing):
    def update_rule(self):
        return ForgetfulRule()


class ForgetfulRule:
    factor = 2.0

    def __init__(self):
        self.factor = 3.0

    def __call__(self, update):
        return self.factor

    def __reduce__(self):
        return object.__new__, (type(self),)


@pytest.mark.parametrize(
    "transfer, case",
    [
        (Stateful(), "test_equal_arguments_give_equal_exponents"),
        (Rigid(), "test_only_numbers_of_the_space_follow_the_width"),
        (Infinite(), "test_only_numbers_of_the_space_follow_the_width"),
        (Meddling(), "test_the_history_is_only_read"),
        (Vanishing(), "test_a_rule_gives_positive_factors"),
        (Restless(), "test_a_rule_gives_positive_factors"),
        (Forgetful(), "test_a_rule_travels_to_workers"),
    ],
)
def test_the_contract_catches_what_breaks_it(transfer, case):
    space = Space({"lr": Float(1e-4, 1, log=True), "nesterov": True})
    law = getattr(TransferContract(), case)
    given = {"transfer": transfer, "space": space}
    with pytest.raises((AssertionError, TypeError, ValueError)):
        law(**{name: given[name] for name in signature(law).parameters})
