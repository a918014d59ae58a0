import math
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxyhpo._records.history import History
from proxyhpo.errors import ArgumentError, UnknownNameError
from proxyhpo.space import Choice, Float, Int, Space
from proxyhpo.transfers import IdentityTransfer, PowerLawTransfer
from proxyhpo.transfers._exponents import transferred
from proxyhpo.transfers._settings import is_learning_rate

RATE = Float(1e-4, 1, log=True)


def exponents(transfer, space):
    return transfer.exponents(Space(space), History())


@pytest.mark.parametrize(
    "name",
    ["lr", "LR", "learning_rate", "learningRate", "learning-rate", "head_lr", "base_learning_rate",
     "optim.lr", "optim/lr", "min_lr", "lr_lr"],
)  # fmt: skip
def test_learning_rates_are_recognized_by_name(name):
    assert is_learning_rate(name)
    assert exponents(PowerLawTransfer(), {name: RATE}) == {name: -0.5}


@pytest.mark.parametrize(
    "name",
    ["lr_decay", "lr_warmup", "log_lr", "log10_lr", "log_learning_rate", "clr", "momentum", "l",
     "learning_rate_decay", "weight_decay", "lrs", ""],
)  # fmt: skip
def test_what_only_sounds_like_one_is_not(name):
    assert not is_learning_rate(name)


def test_identity_changes_nothing():
    assert exponents(IdentityTransfer(), {"lr": RATE}) == {}
    assert repr(IdentityTransfer()) == "IdentityTransfer()"


def test_names_come_before_the_default():
    space = {"lr": RATE, "head_lr": RATE, "weight_decay": Float(0, 1), "momentum": Float(0, 1)}
    transfer = PowerLawTransfer({"lr": -0.7, "weight_decay": 1}, exponent=-0.6)
    assert exponents(transfer, space) == {"lr": -0.7, "head_lr": -0.6, "weight_decay": 1.0}


def test_zero_turns_one_off_without_a_warning():
    assert exponents(PowerLawTransfer({"lr": 0}), {"lr": RATE}) == {"lr": 0.0}


@given(st.floats(0.01, 1), st.floats(1e-6, 1e3))
def test_the_narrower_the_network_the_larger_its_learning_rate(ratio, lr):
    powers = exponents(PowerLawTransfer(), {"lr": RATE})
    narrow = transferred({"lr": lr}, powers, ratio)["lr"]
    assert narrow == pytest.approx(lr / math.sqrt(ratio))
    # Two steps down are one: a ladder of widths agrees with itself.
    twice = transferred(transferred({"lr": lr}, powers, ratio), powers, ratio)["lr"]
    assert twice == pytest.approx(transferred({"lr": lr}, powers, ratio**2)["lr"])


@pytest.mark.parametrize(
    "space, why",
    [
        ({"eta": RATE}, "none is named lr"),
        ({"lr": Choice(["small", "large"])}, r"\['lr'\] is not numeric"),
        ({"lr": Int(1, 3)}, "make it a Float, a Choice of numbers or a number, or"),
    ],
)
def test_nothing_to_transfer_is_worth_a_warning(space, why):
    with pytest.warns(UserWarning, match=rf"no learning rate is transferred.*{why}"):
        assert exponents(PowerLawTransfer(), {"x": Int(1, 2), **space}) == {}


def test_the_warning_is_shown_once():
    space = Space({"eta": RATE})
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("default")
        for transfer in (PowerLawTransfer(), PowerLawTransfer()):
            transfer.exponents(space, History())
    assert len(shown) == 1
    assert shown[0].filename == __file__  # where it was asked, not inside the transfer


def test_an_unknown_name_gets_the_nearest_one():
    with pytest.raises(UnknownNameError, match="'learning_rat'; did you mean 'learning_rate'"):
        exponents(PowerLawTransfer({"learning_rat": -1}), {"learning_rate": RATE})


@pytest.mark.parametrize("given_", [Choice([0.1, 0.01, 1]), Choice([3]), 0.1, 1])
def test_a_list_of_rates_and_a_constant_are_transferred_as_a_range_is(given_):
    assert exponents(PowerLawTransfer(), {"lr": given_, "x": RATE}) == {"lr": -0.5}
    named = exponents(PowerLawTransfer({"eta": -1}), {"eta": given_, "x": RATE})
    config = Space({"eta": given_, "x": RATE}).center()
    assert transferred(config, named, 0.25)["eta"] == 4 * config["eta"]


@pytest.mark.parametrize(
    "given_",
    [Int(1, 9), Choice([1, "auto"]), Choice([1, True]), Choice([None, 1.0]), Choice({"a": 1}), "a"],
)
def test_only_numbers_can_follow_the_width(given_):
    with pytest.raises(ArgumentError, match="PowerLawTransfer: 'units' must be a Float, a Choice"):
        exponents(PowerLawTransfer({"units": 1}), {"units": given_, "lr": RATE})


@pytest.mark.parametrize("number", [math.nan, math.inf, "0.5", None, True])
def test_exponents_must_be_finite_numbers(number):
    with pytest.raises(ArgumentError, match=r"the exponent of 'lr' must be a finite number"):
        PowerLawTransfer({"lr": number})
    with pytest.raises(ArgumentError, match=r"exponent must be a finite number"):
        PowerLawTransfer(exponent=number)


@pytest.mark.parametrize("given_", [-0.5, "lr", ["lr"]])
def test_exponents_must_have_names(given_):
    with pytest.raises(TypeError, match="exponents must be a mapping"):
        PowerLawTransfer(given_)


def test_settings_are_plain_and_public():
    assert vars(PowerLawTransfer({"lr": -1})) == {"by_name": {"lr": -1.0}, "exponent": -0.5}
    assert repr(PowerLawTransfer({"lr": -1})) == "PowerLawTransfer({'lr': -1.0}, exponent=-0.5)"


def test_the_exponents_given_are_copied():
    given_ = {"lr": -1.0}
    transfer = PowerLawTransfer(given_)
    given_["lr"] = 5.0
    assert exponents(transfer, {"lr": RATE}) == {"lr": -1.0}


@pytest.mark.parametrize(
    "transfer", [PowerLawTransfer({"lr": -51}), PowerLawTransfer({"lr": 1e300})]
)
def test_an_exponent_whose_power_may_be_no_float_is_refused(transfer):
    with pytest.raises(ArgumentError, match="exponent of 'lr' must be between -50 and 50, got"):
        transfer.exponents(Space({"lr": Float(1e-4, 1, log=True)}), History())
