from inspect import signature

import numpy as np
import pytest

from proxyhpo._records.records import Probe
from proxyhpo._records.rung import Rung
from proxyhpo.space import Float, Space
from proxyhpo.testing.transfers import TransferContract
from proxyhpo.transfers import FittedPowerLawTransfer, IdentityTransfer, PowerLawTransfer, Transfer


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


class TestFittedPowerLaw(TransferContract):
    @pytest.fixture
    def transfer(self):
        return FittedPowerLawTransfer(n_configs=6)


class TestFittedPowerLawByName(TransferContract):
    @pytest.fixture
    def transfer(self):
        return FittedPowerLawTransfer({"rate": -1, "lr": 0}, tried=[0, -0.5, -1])

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


class Drawing(Transfer):
    def probes(self, space, ladder, *, rng):
        return [Probe(space.sample(np.random.default_rng()), 0)]

    def exponents(self, space, history):
        return {}


class Misplacing(Drawing):
    def probes(self, space, ladder, *, rng):
        return [Probe(space.sample(rng), len(ladder))]


class Insatiable(Drawing):
    def probes(self, space, ladder, *, rng):
        return [Probe(space.sample(rng), 0)]


class Brittle(Insatiable):
    def exponents(self, space, history):
        return {"lr": sum(record.loss for record in history.probe_records.values())}


@pytest.mark.parametrize(
    "transfer, case",
    [
        (Stateful(), "test_equal_arguments_give_equal_exponents"),
        (Rigid(), "test_only_numbers_of_the_space_follow_the_width"),
        (Infinite(), "test_only_numbers_of_the_space_follow_the_width"),
        (Meddling(), "test_the_history_is_only_read"),
        (Drawing(), "test_the_generator_is_the_only_source_of_probes"),
        (Misplacing(), "test_probes_can_be_trained"),
        (Insatiable(), "test_one_width_alone_needs_no_probes"),
        (Brittle(), "test_what_probes_say_gives_exponents"),
    ],
)
def test_the_contract_catches_what_breaks_it(transfer, case):
    space = Space({"lr": Float(1e-4, 1, log=True), "nesterov": True})
    law = getattr(TransferContract(), case)
    given = {"transfer": transfer, "space": space, "ladder": [Rung(0.5, keep=1), Rung(1)]}
    with pytest.raises((AssertionError, TypeError, ValueError)):
        law(**{name: given[name] for name in signature(law).parameters})
