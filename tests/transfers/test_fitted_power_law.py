"""What probes say of the exponent, where the truth is known."""

import dataclasses
import math

import numpy as np
import pytest

from proxyhpo._records.history import History
from proxyhpo._records.records import Probe, Record, config_key
from proxyhpo._records.rung import Rung
from proxyhpo.errors import ArgumentError, UnknownNameError
from proxyhpo.space import Choice, Float, Int, Space
from proxyhpo.transfers import transferred
from proxyhpo.transfers._fitted_power_law import Fit, FittedPowerLawTransfer

RATE = Float(1e-4, 1, log=True)
SPACE = Space({"lr": RATE, "momentum": Choice([0.0, 0.9]), "decay": Float(1e-6, 1e-2, log=True)})
LADDER = [Rung(0.125, keep=4), Rung(0.25, keep=2), Rung(1)]
RATIOS = {0.125: 0.14, 0.15: 0.16, 0.25: 0.26, 1: 1.0}
TRANSFER = FittedPowerLawTransfer()


def trained(probes, loss, ladder=LADDER):
    """A history in which the probes have ended with these losses; None is a failure."""
    history = History()
    for number, probe in enumerate(probes):
        ratio = RATIOS[ladder[probe.rung].density]
        history.add_probe(dataclasses.replace(probe, width_ratio=ratio))
        config = transferred(probe.config, probe.exponents, ratio)
        value = loss(config, ratio)
        state = "failed" if value is None else "finished"
        history.add_probe_record(
            Record(number, probe.rung, 0, probe.config, config, state, value, value)
        )
    return history


def simulated(shape, exponent, seed, *, transfer=TRANSFER, space=SPACE, ladder=LADDER, noise=0.02):
    """A fit where the best learning rate is known, and the loss has a shape around it."""
    rng = np.random.default_rng(seed)

    def loss(config, ratio):
        best = -1.8 + exponent * math.log10(ratio) - 0.5 * (config.get("momentum", 0) > 0)
        offset = 0.05 * math.log10(config.get("decay", 1e-4)) + 0.1 * (1 - ratio)
        value = shape(math.log10(config["lr"]) - best)
        return None if value is None else value + offset + noise * rng.normal()

    probes = transfer.probes(space, ladder, rng=np.random.default_rng(seed + 1000))
    return transfer.fit(space, trained(probes, loss, ladder))


def parabola(distance):
    return 0.15 * distance**2


def accuracy(distance):
    return -0.1 - 0.65 * math.exp(-((distance / 1.6) ** 2))


def diverging(distance):
    """A cross-entropy that explodes, and soon is not even a number, above the best."""
    if distance > 1.5:
        return None
    return math.exp(40 * (distance - 0.9)) if distance > 1 else 1.5 + accuracy(distance)


@pytest.mark.parametrize("shape", [parabola, accuracy])
@pytest.mark.parametrize("exponent", [0.0, -0.5, -1.0])
def test_the_true_exponent_is_found(shape, exponent):
    fits = [simulated(shape, exponent, seed) for seed in range(20)]
    inside = [fit.low - 0.05 <= exponent <= fit.high + 0.05 for fit in fits]
    assert sum(inside) >= 17
    assert np.mean([fit.estimate for fit in fits]) == pytest.approx(exponent, abs=0.15)
    assert np.mean([fit.deviation for fit in fits]) < 0.2
    # And it is acted upon: the answer is far nearer than the prior, which is off by up to 0.5.
    assert np.mean([abs(fit.exponent - exponent) for fit in fits]) < 0.25


@pytest.mark.parametrize("exponent", [0.0, -0.5, -1.0])
def test_where_many_probes_diverge_the_interval_says_so(exponent):
    fits = [simulated(diverging, exponent, seed) for seed in range(20)]
    assert sum(fit.low - 0.05 <= exponent <= fit.high + 0.05 for fit in fits) >= 13
    assert np.mean([fit.deviation for fit in fits]) > 0.3
    # Never much further from the truth than the prior was.
    assert max(abs(fit.exponent - exponent) for fit in fits) < abs(exponent + 0.5) + 0.5


def test_one_proxy_and_the_full_network_do_too():
    ladder = [Rung(0.125, keep=4), Rung(1)]
    fits = [simulated(accuracy, -1.0, seed, ladder=ladder) for seed in range(10)]
    assert np.mean([fit.estimate for fit in fits]) == pytest.approx(-1, abs=0.1)


@pytest.mark.parametrize("shape", [lambda _: 0.0, lambda distance: -0.1 * distance])
def test_losses_without_a_least_one_leave_the_prior(shape):
    """Nothing but noise, or a slope: no learning rate is the best."""
    fits = [simulated(shape, -1.0, seed) for seed in range(5)]
    assert all(fit.deviation > 0.5 for fit in fits)
    assert [fit.exponent for fit in fits] == pytest.approx([-0.5] * 5, abs=0.2)


def test_the_less_the_widths_differ_the_more_the_prior_is_kept():
    def mean_of(measure, upper):
        ladder = [Rung(0.125, keep=2), Rung(upper, keep=1), Rung(1)]
        return np.mean([measure(simulated(accuracy, -1.0, s, ladder=ladder)) for s in range(8)])

    deviations = [mean_of(lambda fit: fit.deviation, upper) for upper in (1, 0.25, 0.15)]
    assert deviations == sorted(deviations)
    assert deviations[-1] > 5 * deviations[0]
    answers = [mean_of(lambda fit: fit.exponent, upper) for upper in (1, 0.25, 0.15)]
    assert answers == sorted(answers)
    assert answers[-1] == pytest.approx(-0.5, abs=0.2)


def test_a_constant_loss_leaves_the_prior():
    probes = TRANSFER.probes(SPACE, LADDER, rng=np.random.default_rng(0))
    fit = TRANSFER.fit(SPACE, trained(probes, lambda *_: 1.0))
    assert fit.exponent == pytest.approx(-0.5, abs=0.05)


def test_the_prior_counts_by_its_own_precision():
    firm, loose = (FittedPowerLawTransfer(prior_deviation=d) for d in (0.01, 10.0))
    assert simulated(accuracy, -1, 1, transfer=firm).exponent == pytest.approx(-0.5, abs=0.03)
    fit = simulated(accuracy, -1, 1, transfer=loose)
    assert fit.exponent == pytest.approx(fit.estimate, abs=0.01)


def test_what_is_far_from_any_use_does_not_count():
    """A single wild loss, or a failure, does not move the rest."""
    probes = TRANSFER.probes(SPACE, LADDER, rng=np.random.default_rng(5))
    for wild in (1e30, None):
        history = trained(
            probes,
            lambda config, ratio, wild=wild: (
                wild
                if config["lr"] > 3
                else accuracy(math.log10(config["lr"]) + 1.8 + math.log10(ratio))
            ),
        )
        assert TRANSFER.fit(SPACE, history).estimate == pytest.approx(-1, abs=0.3)


def test_no_probes_give_the_prior():
    assert TRANSFER.fit(SPACE, History()) == Fit(-0.5)
    assert TRANSFER.exponents(SPACE, History()) == {"lr": -0.5}
    assert TRANSFER.basis(SPACE, History()) == "prior -0.5 ± 0.25; too few probes to learn from"


@pytest.mark.parametrize("n", [1, 3])
def test_too_few_configs_give_the_prior(n):
    fit = simulated(parabola, 0.0, 0, transfer=FittedPowerLawTransfer(prior=-0.7, n_configs=n))
    assert (fit.exponent, fit.estimate) == (-0.7, None)


def test_probes_that_all_failed_give_the_prior():
    probes = TRANSFER.probes(SPACE, LADDER, rng=np.random.default_rng(0))
    assert TRANSFER.fit(SPACE, trained(probes, lambda *_: None)) == Fit(-0.5)


def test_the_words_say_estimate_interval_and_prior():
    probes = TRANSFER.probes(SPACE, LADDER, rng=np.random.default_rng(0))
    history = trained(probes, lambda config, ratio: parabola(math.log10(config["lr"] * ratio) + 2))
    fit = TRANSFER.fit(SPACE, history)
    words = f"fitted: {fit.estimate:.2f} [{fit.low:.2f}, {fit.high:.2f}] on {fit.n} configs, prior"
    assert TRANSFER.basis(SPACE, history) == f"{words} -0.5 ± 0.25"
    assert fit.estimate == pytest.approx(-1, abs=0.1)


def test_the_order_in_which_they_ended_does_not_matter():
    probes = TRANSFER.probes(SPACE, LADDER, rng=np.random.default_rng(2))
    first = trained(probes, lambda config, ratio: accuracy(math.log10(config["lr"]) + 2 * ratio))
    other = History()
    for probe in first.probes:
        other.add_probe(probe)
    for number in reversed(range(len(probes))):
        other.add_probe_record(first.probe_records[number])
    assert TRANSFER.fit(SPACE, other) == TRANSFER.fit(SPACE, first)


def test_each_config_is_trained_at_two_widths_with_each_exponent():
    probes = TRANSFER.probes(SPACE, LADDER, rng=np.random.default_rng(0))
    by_config = {}
    for probe in probes:
        by_config.setdefault(config_key(probe.config), []).append(
            (probe.rung, probe.exponents.get("lr", 0.0))
        )
    assert len(by_config) == 10
    assert all(plan == [(0, 0.0), (0, -1.0), (1, 0.0), (1, -1.0)] for plan in by_config.values())
    # Spread over the learning rates: one in each tenth.
    tenths = {math.floor((math.log10(p.config["lr"]) + 4) / 0.4) for p in probes}
    assert tenths == set(range(10))


@pytest.mark.parametrize(
    ("ladder", "rungs"),
    [
        ([Rung(0.25, keep=1), Rung(1)], [(0, 20), (1, 10)]),
        ([Rung(0.25, budget=0.5, keep=2), Rung(0.25, keep=1), Rung(1)], [(0, 20), (2, 10)]),
        ([Rung(cost=0.1, keep=2), Rung(cost=0.4, keep=1), Rung(1)], [(0, 20), (1, 20)]),
        ([Rung(1, budget=0.5, keep=1), Rung(1)], []),
        ([Rung(1)], []),
    ],
)
def test_which_rungs_they_are_trained_at(ladder, rungs):
    probes = TRANSFER.probes(SPACE, ladder, rng=np.random.default_rng(0))
    planned = [probe.rung for probe in probes]
    assert [(rung, planned.count(rung)) for rung in sorted(set(planned))] == rungs
    assert all(not probe.exponents for probe in probes if ladder[probe.rung].density == 1)


def test_a_small_space_has_fewer_configs():
    space = Space({"lr": Choice([0.1, 0.01]), "momentum": Choice([0.0, 0.9])})
    probes = TRANSFER.probes(space, LADDER, rng=np.random.default_rng(0))
    assert len({config_key(probe.config) for probe in probes}) == 4
    assert len(probes) == 16


def test_all_learning_rates_share_what_is_learned_and_names_come_first():
    space = Space({"lr": RATE, "head_lr": RATE, "min_lr": 1e-5, "decay": Float(0, 1)})
    transfer = FittedPowerLawTransfer({"head_lr": -0.9, "decay": 1})
    probes = transfer.probes(space, LADDER, rng=np.random.default_rng(0))
    assert {tuple(probe.exponents) for probe in probes} == {(), ("lr", "min_lr")}
    history = trained(probes, lambda config, ratio: parabola(math.log10(config["lr"]) + 2))
    fit = transfer.fit(space, history)
    assert transfer.exponents(space, history) == {
        "lr": fit.exponent, "min_lr": fit.exponent, "head_lr": -0.9, "decay": 1.0
    }  # fmt: skip
    assert fit.estimate == pytest.approx(0, abs=0.25)


def test_a_config_without_a_learning_rate_above_0_is_left_out():
    space = Space({"kind": Choice(["a", "b"]), "lr": Float(1e-3, 1, log=True, when=("kind", "a"))})
    history = History()
    for number, config in enumerate([{"kind": "a", "lr": 0.1}, {"kind": "b"}] * 9):
        history.add_probe(Probe({**config}, 0, {"lr": 0.0}, 0.2))
        record = Record(number, 0, 0, config, config, "finished", 1.0, 1.0)
        history.add_probe_record(record)
    assert TRANSFER.fit(space, history).n == 1


@pytest.mark.parametrize(
    ("space", "given", "words"),
    [
        ({"eta": RATE}, {}, "no exponent to learn: none is named lr"),
        ({"lr": Choice(["small", "large"])}, {}, r"\['lr'\] would have to be made of numbers"),
        ({"lr": Int(1, 3)}, {}, "make it a Float, a Choice of numbers or a number, or transfer="),
        ({"lr": RATE}, {"lr": -1}, "each has an exponent by name; leave one out"),
        ({"lr": RATE, "n": Int(1, 3)}, {"n": -1}, "'n' must be a Float, a Choice of numbers"),
    ],
)
def test_nothing_to_learn_is_refused_before_any_training(space, given, words):
    transfer = FittedPowerLawTransfer(given)
    with pytest.raises(ArgumentError, match=words):
        transfer.probes(Space(space), LADDER, rng=np.random.default_rng(0))
    with pytest.raises(ArgumentError, match=words):
        transfer.exponents(Space(space), History())


def test_an_unknown_name_gets_the_nearest_one():
    transfer = FittedPowerLawTransfer({"learning_rat": -1})
    with pytest.raises(UnknownNameError, match="did you mean 'learning_rate'"):
        transfer.probes(Space({"learning_rate": RATE}), LADDER, rng=np.random.default_rng(0))


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"exponents": -0.5}, TypeError, "exponents must be a mapping"),
        ({"exponents": {"lr": "x"}}, ArgumentError, "FittedPowerLawTransfer: the exponent of 'lr'"),
        ({"prior": math.nan}, ArgumentError, "prior must be a finite number"),
        ({"prior_deviation": "1"}, ArgumentError, "prior_deviation must be a finite number"),
        (
            {"prior_deviation": 0},
            ArgumentError,
            "prior_deviation must be a finite number > 0, got 0",
        ),
        ({"n_configs": 0}, ArgumentError, "n_configs must be a whole number >= 1, got 0"),
        ({"tried": (0.0,)}, ArgumentError, "tried must be two different exponents or more"),
        ({"tried": (0, 0.0)}, ArgumentError, "tried must be two different exponents or more"),
        ({"tried": 0.5}, ArgumentError, "tried must be two different exponents or more"),
        ({"tried": (0, None)}, ArgumentError, "each of tried must be a finite number"),
    ],
)
def test_bad_arguments_are_refused(arguments, error, words):
    with pytest.raises(error, match=words):
        FittedPowerLawTransfer(**arguments)


def test_settings_are_plain_and_public():
    assert vars(FittedPowerLawTransfer({"x": 1})) == {
        "by_name": {"x": 1.0}, "prior": -0.5, "prior_deviation": 0.25, "n_configs": 10,
        "tried": [0.0, -1.0],
    }  # fmt: skip
    assert repr(TRANSFER) == (
        "FittedPowerLawTransfer({}, prior=-0.5, prior_deviation=0.25, n_configs=10, "
        "tried=[0.0, -1.0])"
    )
