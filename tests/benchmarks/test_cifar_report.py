import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks.cifar import __main__ as cifar
from benchmarks.cifar import fidelity as cifar_fidelity
from benchmarks.cifar import findings as cifar_findings
from benchmarks.cifar import report as cifar_report
from benchmarks.cifar import search_tables
from benchmarks.cifar.fidelity import agreement, best_rate, best_rates, ceiling, learning_rate
from benchmarks.cifar.networks import TASKS
from benchmarks.cifar.replays import Level, Search, _climbers, replayed
from benchmarks.cifar.rules import BY_NORMS, WEAKER
from benchmarks.cifar.searches import (
    DEFAULT,
    LADDERS,
    POWER_LAW,
    SHORT,
    outcomes,
    quality,
    sample_size,
    samples,
    searches,
)
from benchmarks.cifar.steps import Costs, batches
from benchmarks.cifar.table import (
    DENSITIES,
    JUDGE,
    Row,
    Run,
    configs,
    wanted,
)
from benchmarks.replay import TOP, Strategy, charged, replay
from benchmarks.tables import Narrow
from proxyhpo import Rung

N = 24
BEST = {"vgg": 5e-4, "resnet": 0.02}  # learning rate of the full network
DRIFT = -0.5  # of a proxy's, where the updates are not scaled


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(cifar_fidelity, "RESAMPLES", 100)
    monkeypatch.setattr(cifar_findings, "MOST", 0.5)  # of searches among 12 configs


def made(net="vgg", noise=0.0, n=N):
    """Only the learning rate counts, and scaling the updates is exactly right."""
    rng = np.random.default_rng(0)
    table = {}
    for number, config in enumerate(configs(TASKS[net], net, n)):
        # In equal steps, so that the winner is known: number 5.
        config["lr"] = float(f"{BEST[net] * 10 ** ((number - 5) * 1.5 / n):.4g}")
        if "momentum" in config:
            config["momentum"] = 0.0
        table[number] = {}
        for run in wanted(net, number):
            off = math.log(config["lr"] / BEST[net])
            if not run.rule:
                off += (run.exponent - DRIFT) * math.log(run.density)
            last = 0.6 - 0.05 * off**2 - 0.1 * (1 - run.density) + noise * rng.standard_normal()
            curve = [last - 0.2, last - 0.1, last - 0.05, last - 0.02, last]
            table[number][run] = Row(
                net, number, config, run.density, run.density, run.exponent, run.seed,
                curve, last - 0.01, 1.0, run.pruner, run.rule,
            )  # fmt: skip
    return table


COSTS = Costs(
    {
        net: {
            f"{density:.4g}": {
                **{str(size): density * size for size in batches(net)},
                "example": 0.0, "making": 0.0,
            }
            for density in (*DENSITIES, 1.0)
        }
        for net in TASKS
    }
)  # fmt: skip


class Stands:
    """The training function of a search through the engine: looks up the results of trainings.

    A config that is trained again on the full network is trained under the second seed.
    """

    inputs = torch.zeros(2, 1000)

    def __init__(self, table, search):
        self.table, self.search, self.times = table, search, Counter()

    def __call__(self, network, config):
        row = self.row(config, min((*DENSITIES, 1.0), key=lambda d: abs(d - network.width / 1000)))
        for epoch, value in enumerate(row.validation, 1):
            seconds = COSTS.seconds(row.net, row.density, config["batch_size"], epoch)
            yield {"value": value, "seconds": seconds}

    def row(self, config, density):
        runs = next(r for n, r in self.table.items() if r[Run(n)].config == config)
        run = self.search.run("vgg", next(iter(runs)).number, density)
        self.times[run] += 1
        return runs[replace(run, seed=self.times[run] - 1)]

    def build(self, width):
        return Narrow(round(1000 * width))


BY_DEFAULT = {"ladder": None, "density": 1 / 8}
"""Finalists, early promotions and second seeds are left to ``ProxyHPO``."""
ONE_SEED = {**BY_DEFAULT, "repeats": 0}
ENGINE = [
    ("1/8 (4)", N, {}),
    ("1/8 (4), median", N, {}),
    ("1/8 (8), 1/2 (4)", N, {}),
    *zip(SHORT, (9, 20, 30, 40), (BY_DEFAULT, BY_DEFAULT, ONE_SEED, ONE_SEED), strict=True),
    (DEFAULT, 40, BY_DEFAULT),
]


@pytest.mark.parametrize(("name", "n", "options"), ENGINE, ids=[name for name, *_ in ENGINE])
def test_the_engine_climbs_to_the_same_config_at_the_same_cost(name, n, options):
    table = made(noise=0.03, n=n)
    # In random order, so that the best ones of the first eight are not the best ones of all.
    sample = [table[int(number)] for number in np.random.default_rng(2).permutation(n)]
    search = searches(n)[name]
    found = replayed(search, sample, COSTS)
    rungs = [Rung(level.density, keep=level.keep) for level in search.levels]
    strategy = Strategy([*rungs, TOP], "identity", stopper=search.stopper)
    drawn = [dict(next(iter(runs.values())).config) for runs in sample]
    training, space = Stands(table, search), TASKS["vgg"].space
    result = replay(training, space, "maximize", strategy, drawn, **options)
    assert result.best_config == drawn[found.number]
    assert charged(result.records, strategy) == pytest.approx(found.seconds)
    assert any(record.replicate for record in result.records) == search.second_seeds


def test_a_training_that_starts_from_a_checkpoint_is_charged_once():
    table = made()
    sample = [table[number] for number in (5, 6)]
    found = replayed(Search([Level(1, 1, epochs=1)]), sample, COSTS)
    first, second = (COSTS.seconds("vgg", 1.0, runs[Run(n)].config["batch_size"], epochs)
                     for n, runs, epochs in ((5, sample[0], 5), (6, sample[1], 1)))  # fmt: skip
    assert found.number == 0
    assert found.seconds == pytest.approx(first + second)


def test_a_training_that_diverged_costs_what_it_ran():
    table = made()
    row = table[3][Run(3)]
    table[3][Run(3)] = replace(row, validation=row.validation[:2])
    found = replayed(Search([]), [table[3]], COSTS)
    assert found.seconds == pytest.approx(COSTS.seconds("vgg", 1.0, row.config["batch_size"], 2))


def test_the_best_two_are_trained_once_more_and_the_mean_decides():
    table = made()
    sample = [table[number] for number in (4, 5, 6)]
    again = Run(4, seed=1)
    sample[0][again] = replace(sample[0][again], validation=[0.9] * 5)
    sizes = [next(iter(runs.values())).config["batch_size"] for runs in sample]
    costs = [COSTS.seconds("vgg", 1.0, size, 5) for size in sizes]
    for second_seeds, best, more in ((False, 1, 0), (True, 0, 2)):
        found = replayed(Search([], second_seeds=second_seeds), sample, COSTS)
        assert found.number == best
        assert found.seconds == pytest.approx(sum(costs) + sum(costs[:more]))
    alone = replayed(Search([], second_seeds=True), sample[1:2], COSTS)
    assert alone.seconds == pytest.approx(costs[1])


def test_some_climb_early():
    losses = dict(enumerate([5, 4, 3, 9, 1, 2, 0, 8]))
    assert _climbers(losses, 3, ()) == [6, 4, 5]
    assert _climbers(losses, 3, (2, 4)) == [1, 2, 6]
    assert _climbers(losses, 1, (2, 4)) == [6]
    assert _climbers({3: 1.0}, 3, (2, 4)) == [3]


def test_the_corrected_proxy_finds_the_winner_and_the_other_one_does_not():
    table = made()
    found = {
        rule: replayed(Search([Level(1 / 8, 1)], rule), list(table.values()), COSTS).number
        for rule in (BY_NORMS, "")
    }
    assert found[BY_NORMS] == 5
    assert found[""] > 5


def test_a_search_is_known_where_the_table_has_all_its_proxies():
    table = made()
    search = LADDERS["1/8 (8), 1/2 (4)"]
    assert search.is_known(table)
    del table[3][Run(3, 1 / 2, rule=WEAKER)]
    assert not search.is_known(table)
    assert Search([]).is_known(table)


def test_searches_whose_steps_were_not_timed_are_left_out():
    timed = {density: steps for density, steps in COSTS.times["vgg"].items() if density != "0.5"}
    found = outcomes("vgg", made(), Costs({"vgg": timed}), 1, n=12)
    names = {each.strategy for each in found}
    assert "1/8 (4)" in names
    assert not any("1/2" in name for name in names)


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
    assert {*searches(12)} <= {*found}
    ratio = found["1/8 (4)"].seconds / found["full: no repeats"].seconds
    assert 1 / 8 < ratio < 0.6
    assert found["1/8 (3)"].seconds < found["1/8 (4)"].seconds < found["full"].seconds
    assert found["1 epoch"].seconds < 0.5 * found["full: no repeats"].seconds
    assert found["1/8 (3), median"].seconds < found["1/8 (3)"].seconds
    assert found["1 epoch, of 2 in 5 configs"].seconds < found["1 epoch"].seconds
    accuracies = {1 - found[name].loss for name in ("1/8 (4)", "full: no repeats", "full")}
    assert len(accuracies) == 1
    assert accuracies.pop() in {runs[Run(n, seed=JUDGE)].test for n, runs in table.items()}


def test_quality_is_measured_with_unused_seeds():
    runs = made()[0]
    row = runs[Run(0)]
    tests = {Run(0, seed=seed): replace(row, seed=seed, test=seed / 10) for seed in range(4)}
    assert quality({**runs, **tests}, (0, 1)) == quality({**runs, **tests}, (0,)) == 0.25
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
    truths = [cifar_findings.of_halves(rng.normal(0, 1, 2 * 400)) for _ in range(2)]
    for low, high in truths:
        assert high - low == pytest.approx(2 * 1.96 / math.sqrt(2), rel=0.1)


def test_rankings_are_perfect_where_the_correction_is():
    table = made()
    corrected = agreement(table, Run(0, 1 / 8, rule=BY_NORMS))
    as_is = agreement(table, Run(0, 1 / 8))
    for name in ("Spearman", "Spearman, best 40 %", "Kendall", "best 20 % in common"):
        assert corrected.measures[name][0] == pytest.approx(1)
        assert ceiling(table).measures[name][0] == pytest.approx(1)
    assert corrected.n == N
    assert corrected.measures["regret of the best 4, points"] == pytest.approx((0, 0, 0))
    assert as_is.measures["Spearman, best 40 %"][0] < 0.5
    assert agreement(table, Run(0, 0.3)) is None
    assert agreement(table, Run(0, 1 / 8), [1, 2, 3]).n == 3


def test_there_is_no_ceiling_where_only_some_configs_were_trained_twice():
    table = made()
    del table[3][Run(3, seed=1)]
    assert ceiling(table) is None


@pytest.mark.parametrize("net", ["vgg", "resnet"])
def test_the_best_learning_rate_is_found_before_and_after(net):
    table = made(net, noise=0.002)
    before, after = (best_rates(table, corrected=corrected) for corrected in (False, True))
    assert before[1.0][0] == after[1.0][0]
    assert before[1 / 8][0] == pytest.approx(BEST[net] * 8**-DRIFT, rel=0.35)
    for density in DENSITIES:
        assert after[density][0] == pytest.approx(BEST[net], rel=0.35)


def test_the_learning_rate_of_momentum_is_the_effective_one():
    assert learning_rate({"lr": 0.1}) == 0.1
    assert learning_rate({"sgd_lr": 0.1, "momentum": 0.9}) == pytest.approx(1)
    assert learning_rate({"adamw_lr": 0.1, "beta1": 0.9}) == 0.1


def test_the_best_rate_stays_within_what_was_tried():
    rates = np.geomspace(0.01, 1, 20)
    assert best_rate(rates, np.log(rates)) == pytest.approx(1)
    assert best_rate(rates, -(np.log(rates / 0.1) ** 2)) == pytest.approx(0.1, rel=0.05)


def test_the_report_has_every_network_and_keeps_what_was_written_by_hand(tmp_path):
    of_vgg = cifar_findings.find("vgg", judged(made("vgg", 0.01)), COSTS, 2)
    found = [of_vgg, replace(of_vgg, net="resnet", table=made("vgg", 0.01))]
    page = tmp_path / "pages" / "cifar.md"
    page.parent.mkdir()
    page.write_text("by hand\n<!-- below: written by python -m benchmarks.cifar report -->\nstale")
    cifar_report.write_report(found, COSTS, page.parent, live=["of the live ones"])
    text = page.read_text()
    assert text.startswith("by hand\n")
    assert "stale" not in text
    for words in ("| full: no repeats | 1.000", "| no correction |", "of the live ones",
                  "| layerwise, vectors -1 |", f"| {POWER_LAW} |", f"| {DEFAULT} |",
                  "| vgg | after |", "| vgg | 1/8 | 8.0 | 8.0 | 8.0 |",
                  "| mean of vgg | |"):  # fmt: skip
        assert words in text
    for words in ("interleaved", "second seed", "re-look"):
        assert words not in text, "a table has the words of the text around it"
    pictures = {picture.name for picture in (tmp_path / "pictures").iterdir()}
    assert pictures == {"learning-rate-and-width.svg", "cost-and-accuracy.svg"}


def test_means_are_over_the_networks_that_are_judged_by_seeds_of_their_own():
    own, shared = (
        cifar_findings.Findings("vgg", table, [], [], []) for table in (judged(made()), made())
    )
    assert cifar_findings.judged([own, shared]) == [own]
    assert cifar_findings.judged([shared]) == [shared]


def test_a_search_that_one_of_the_networks_lacks_has_no_mean():
    whole, lacking = (judged(made("vgg", 0.01)) for _ in range(2))
    for runs in lacking.values():
        for run in [run for run in runs if run.density == 1 / 4]:
            del runs[run]
    found = [cifar_findings.find("vgg", table, COSTS, 2) for table in (whole, lacking)]
    *_, with_both, with_one = search_tables._searches(["1/8 (4)", "1/4 (4)"], found)
    assert all(cell.strip() for cell in with_both.split("|")[1:-1])
    assert [bool(cell.strip()) for cell in with_one.split("|")[1:-1]] == [True, True, False, False]


def test_a_ladder_is_chosen_by_the_other_networks():
    found = [cifar_findings.find("vgg", judged(made("vgg", 0.01)), COSTS, 2) for _ in range(2)]
    best = cifar_findings.best_ladder(found)
    assert best in LADDERS
    assert np.mean([each.cost(best, larger=True) for each in found]) <= cifar_findings.MOST
    assert cifar_findings.best_ladder([replace(found[0], halves=[])]) is None


def test_a_report_on_nothing_is_refused(tmp_path):
    with pytest.raises(SystemExit, match="8 configs"):
        cifar.report(tmp_path, COSTS, 2, tmp_path)
    with pytest.raises(FileNotFoundError, match="cifar steps"):
        Costs.read(tmp_path / "cifar_steps.json")
