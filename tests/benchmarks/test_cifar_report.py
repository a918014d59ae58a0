import math
from dataclasses import replace

import numpy as np
import pytest

from benchmarks import cifar, cifar_exponents, cifar_fidelity, cifar_report
from benchmarks.cifar_exponents import decay
from benchmarks.cifar_fidelity import agreements, best_rate, drift
from benchmarks.cifar_networks import TASKS
from benchmarks.cifar_ranks import differences, smoothed
from benchmarks.cifar_searches import DEFAULT, Trained, outcomes, quality, sample_size, samples
from benchmarks.cifar_steps import BATCHES, Costs
from benchmarks.cifar_table import (
    CONTROL,
    DENSITIES,
    EXPONENT,
    JUDGE,
    PRUNER,
    Row,
    Run,
    complete,
    configs,
    first_pass,
)
from benchmarks.replay import decisions, replay, two
from benchmarks.tables import Narrow

N = 24
BEST = {"vgg": 5e-4, "resnet": 0.02}  # learning rate of the full network; a proxy's follows


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch):
    monkeypatch.setattr(cifar_fidelity, "RESAMPLES", 100)
    monkeypatch.setattr(cifar_exponents, "DRAWS", 20)


def made(net="vgg", noise=0.0):
    """Only the learning rate counts, and transferring it with -0.5 is exactly right."""
    rng = np.random.default_rng(0)
    rows = []
    for number, config in enumerate(configs(TASKS[net], net, N)):
        # In equal steps, so that the winner is known: number 5.
        config["lr"] = float(f"{BEST[net] * 10 ** ((number - 5) / 16):.4g}")
        if "momentum" in config:
            config["momentum"] = 0.0
        for run in first_pass(number):
            rate = config["lr"] * run.density**run.exponent
            off = math.log(rate / (BEST[net] * run.density**EXPONENT))
            last = 0.6 - 0.05 * off**2 - 0.1 * (1 - run.density) + noise * rng.standard_normal()
            rows.append(
                Row(net, number, config, run.density, run.density, run.exponent, run.seed,
                    [last - 0.2, last - 0.1, last - 0.05, last - 0.02, last], last - 0.01, 1.0,
                    run.pruner)
            )  # fmt: skip
    return complete(rows)


COSTS = Costs(
    {
        net: {
            str(density): {
                **{str(size): density * size for size in BATCHES}, "image": 0.0, "making": 0.0,
            }
            for density in (*DENSITIES, 1.0)
        }
        for net in TASKS
    }
)  # fmt: skip


def last(reports):
    *_, report = reports
    return report


def test_a_training_is_looked_up_by_its_config_its_width_and_its_learning_rate():
    table = made(noise=0.01)
    training = Trained(table, COSTS)
    config = table[7][Run(7)].config
    corrected = {**config, "lr": config["lr"] * 0.25**EXPONENT}
    expected = {
        Run(7, 0.25): last(training(Narrow(250), config)),
        Run(7, 0.25, EXPONENT): last(training(Narrow(250), corrected)),
        Run(7): last(training(Narrow(1000), config)),
        Run(7, seed=1): last(training(Narrow(1000), config)),
    }
    for run, report in expected.items():
        assert report["value"] == table[7][run].value
    short = last(training(Narrow(1000), config, budget=0.4))
    assert short["value"] == table[7][Run(7)].validation[1]


def test_a_curve_has_every_epoch_and_ends_like_the_training():
    table = made(noise=0.01)
    config = table[7][Run(7)].config
    curve = list(Trained(table, COSTS, curves=True)(Narrow(1000), config))
    assert [report["value"] for report in curve] == table[7][Run(7)].validation
    assert [report["seconds"] for report in curve] == pytest.approx(
        [curve[-1]["seconds"] * epoch / 5 for epoch in range(1, 6)]
    )
    assert list(Trained(table, COSTS)(Narrow(1000), config)) == curve[-1:]


def test_a_short_training_is_charged_for_its_epochs_alone_and_comes_before_the_first_full_one():
    table = made(noise=0.01)
    training = Trained(table, COSTS, seeds=(1, 0))
    config = table[3][Run(3)].config
    short = last(training(Narrow(1000), config, budget=0.2))
    whole = last(training(Narrow(1000), config))
    assert short["value"] == table[3][Run(3, seed=1)].validation[0]
    assert whole["value"] == table[3][Run(3, seed=1)].value
    assert whole["seconds"] == pytest.approx(5 * short["seconds"])


def test_a_training_that_diverged_costs_what_it_ran():
    table = made()
    row = table[3][Run(3)]
    table[3][Run(3)] = replace(row, validation=row.validation[:2])
    training = Trained(table, COSTS)
    report = last(training(Narrow(1000), row.config))
    assert report["value"] == row.validation[1]
    assert report["seconds"] == pytest.approx(
        COSTS.seconds("vgg", 1.0, row.config["batch_size"], 2)
    )


def test_the_corrected_proxy_finds_the_winner_and_the_other_one_does_not():
    table = made()
    found = {}
    for transfer in ("power-law", "identity"):
        training = Trained(table, COSTS)
        drawn = [dict(runs[Run(number)].config) for number, runs in table.items()]
        strategy = two(1 / 8, keep=1, transfer=transfer)
        result = replay(training, TASKS["vgg"].space, "maximize", strategy, drawn)
        found[transfer] = training.number(decisions(result, strategy)[""][0])
    assert found["power-law"] == 5
    assert found["identity"] > 5


def judged(table):
    """Each config also has the training that decides nothing."""
    for number, runs in table.items():
        row = runs[Run(number)]
        runs[Run(number, seed=JUDGE)] = replace(row, seed=JUDGE, test=row.test - 0.1)
    return table


def test_searches_are_charged_and_judged_by_one_seed_that_none_has_seen():
    table = judged(made())
    assert sample_size(table) == 12
    found = {o.strategy: o for o in outcomes("vgg", table, COSTS, 1, n=12)}
    ratio = found["1/8"].seconds / found["full: no re-look"].seconds
    assert 1 / 8 < ratio < 0.5
    assert found["1/8: single best"].seconds < found["1/8"].seconds
    assert found["1 epoch"].seconds < 0.5 * found["full: no re-look"].seconds
    assert found[DEFAULT].seconds < found["1/8 (6), 1/2 (2)"].seconds
    assert found["1 epoch, of half the configs"].seconds < found["1 epoch"].seconds
    accuracies = {1 - found[name].loss for name in ("1/8", "full: no re-look", "full")}
    assert len(accuracies) == 1
    assert accuracies.pop() in {runs[Run(n, seed=JUDGE)].test for n, runs in table.items()}


def test_quality_is_told_by_a_seed_that_has_decided_nothing():
    runs = made()[0]
    row = runs[Run(0)]
    tests = {Run(0, seed=seed): replace(row, seed=seed, test=seed / 10) for seed in range(3)}
    assert quality({**runs, **tests}, (0, 1)) == quality({**runs, **tests}, (0,)) == 0.2
    once_more = {run: tests[run] for run in (Run(0), Run(0, seed=1))}
    assert quality(once_more, (0,)) == 0.1
    assert quality(once_more, (0, 1)) == 0.05


def test_each_two_samples_share_no_config():
    table = made()
    a, b, c, d = (
        {row.number for runs in sample for row in runs.values()}
        for sample in samples("vgg", table, 12, 4)
    )
    assert a.isdisjoint(b)
    assert c.isdisjoint(d)
    assert a not in (c, d)
    assert len({len(sample) for sample in samples("vgg", table, 20, 3)}) == 1


def test_the_interval_is_that_of_two_searches_however_many_splits_there_are():
    rng = np.random.default_rng(0)
    truths = [cifar_report.of_halves(rng.normal(0, 1, 2 * 400)) for _ in range(2)]
    for low, high in truths:
        assert high - low == pytest.approx(2 * 1.96 / math.sqrt(2), rel=0.1)


def test_a_control_has_channels_of_its_own():
    table = made(noise=0.01)
    config = table[7][Run(7)].config
    corrected = {**config, "lr": config["lr"] / math.sqrt(1 / 8)}
    usual, control = (Run(7, 1 / 8, EXPONENT, pruner=pruner) for pruner in (PRUNER, CONTROL))
    by_norm = Trained(table, COSTS)
    assert last(by_norm(Narrow(125), corrected))["value"] == table[7][usual].value
    at_random = Trained(table, COSTS, pruner=CONTROL)
    assert last(at_random(Narrow(125), corrected))["value"] == table[7][control].value
    assert usual.seeds("vgg").entropy != control.seeds("vgg").entropy


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # a bound is reached
def test_every_way_to_rank_finds_the_winner_where_there_is_no_noise():
    table = made()
    space = TASKS["vgg"].space
    assert differences(list(table.values()), space) == [0, 0, 0]
    noisy = made(noise=0.03)
    narrow = np.array([1 - runs[Run(n, 1 / 8, EXPONENT)].value for n, runs in noisy.items()])
    truth = np.array([1 - runs[Run(n, 1 / 8, EXPONENT)].value for n, runs in table.items()])
    points = np.array([space.encode(runs[Run(n)].config) for n, runs in noisy.items()])
    assert points.min() >= 0
    assert points.max() <= 1
    smooth = smoothed(points[:, [list(space.names).index("lr")]], narrow)
    assert np.abs(smooth - truth).mean() < 0.7 * np.abs(narrow - truth).mean()


def test_rankings_are_perfect_where_the_transfer_is():
    by_name = {each.name: each.measures for each in agreements(made())}
    corrected, as_is = (by_name[f"0.125, {how}"] for how in ("exponent -0.5", "lr as is"))
    for name in ("Spearman", "Spearman, top 40 %", "Kendall", "best 20 % in common"):
        assert corrected[name][0] == pytest.approx(1)
        assert by_name["1, another seed, 5 of 5 epochs"][name][0] == pytest.approx(1)
    assert corrected["regret of the best 3, points"] == pytest.approx((0, 0, 0))
    assert as_is["Spearman, top 40 %"][0] < 0.5
    assert as_is["regret of the best 3, points"][0] > 1


@pytest.mark.parametrize("net", ["vgg", "resnet"])
def test_the_exponent_is_found_again(net):
    found = drift(made(net, noise=0.002))
    middle, low, high = found.exponent
    assert low <= EXPONENT <= high
    assert middle == pytest.approx(EXPONENT, abs=0.15)
    assert found.best[1.0][0] == pytest.approx(BEST[net], rel=0.25)


def test_weight_decay_explains_nothing_where_it_does_nothing():
    found = decay(made(noise=0.002), EXPONENT)
    assert found.without == pytest.approx(found.best, abs=0.01)
    assert found.without > 0.9


def test_a_weight_decay_that_follows_the_width_is_found():
    table = made(noise=0.002)
    for runs in table.values():
        for run, row in list(runs.items()):
            off = math.log(row.config["weight_decay"] / row.width_ratio / 0.01)
            values = [value - 0.01 * off**2 for value in row.validation]
            runs[run] = replace(row, validation=values)
    found = decay(table, EXPONENT)
    assert found.exponent[0] == pytest.approx(1, abs=0.25)
    assert found.best > max(found.without, found.worst) + 0.02


def test_the_best_rate_stays_within_what_was_tried():
    rates = np.geomspace(0.01, 1, 20)
    assert best_rate(rates, np.log(rates)) == pytest.approx(1)
    assert best_rate(rates, -(np.log(rates / 0.1) ** 2)) == pytest.approx(0.1, rel=0.05)


def test_the_report_has_every_network_and_keeps_what_was_written_by_hand(tmp_path):
    of_vgg = cifar_report.find("vgg", made("vgg", 0.01), COSTS, 2)
    found = [of_vgg, replace(of_vgg, net="resnet")]
    page = tmp_path / "cifar.md"
    page.write_text("by hand\n<!-- below: written by python -m benchmarks.cifar report -->\nstale")
    cifar_report.write_report(found, COSTS, tmp_path)
    text = page.read_text()
    assert text.startswith("by hand\n")
    assert "stale" not in text
    for words in ("vgg 24, resnet 24", "| full: no re-look | 1.000", "| 0.125, exponent -0.5 |",
                  "### resnet", "| vgg | 0.125 | 8.0 | 8.0 | 8.0 |"):  # fmt: skip
        assert words in text
    assert (tmp_path / "cifar.png").stat().st_size > 1000


def test_a_report_on_nothing_is_refused(tmp_path):
    with pytest.raises(SystemExit, match="8 complete configs"):
        cifar.report(tmp_path, COSTS, 2, tmp_path)
    with pytest.raises(FileNotFoundError, match="cifar steps"):
        Costs.read(tmp_path / "cifar_steps.json")
