import json
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.replay import charged
from benchmarks.tables import Narrow, Table, Training
from benchmarks.tabular import __main__ as tabular
from benchmarks.tabular import report as tabular_report
from benchmarks.tabular.report import Outcome, chosen_elsewhere, summaries

WIDTHS = (16, 64, 256, 1024)
RATES = [10 ** (-5 + 5 * i / 9) for i in range(10)]


def table(name="made, depth 1", data_set="made", noise=0.0):
    """Whose best learning rate falls as the width grows, and which costs as much as it is wide."""
    rng = np.random.default_rng(len(name))
    alpha, rate, width, seed = np.ogrid[0:8, 0:10, 0:4, 0:5]
    best = 5 - 0.5 * width
    values = 0.9 - 0.01 * (rate - best) ** 2 - 0.002 * alpha + 0.0 * seed
    values = values + noise * rng.standard_normal(values.shape)
    seconds = np.broadcast_to(np.array(WIDTHS, float)[:, None], values.shape)
    grid = {"alpha": list(range(8)), "lr": RATES}
    return Table(name, data_set, grid, WIDTHS, values, seconds, "maximize")


def strategies(*names):
    return {name: tabular.STRATEGIES[name] for name in names}


def outcome(strategy, loss, seconds, data_set="a", repetition=0):
    return Outcome(f"{data_set}, depth 1", data_set, repetition, 30, strategy, loss, seconds)


def test_a_config_is_looked_up_at_the_nearest_learning_rate():
    made = table()
    exact, _ = made.look_up({"alpha": 2, "lr": RATES[4]}, 64, 0)
    assert made.look_up({"alpha": 2, "lr": RATES[4] * 1.5}, 64, 0) == (exact, 64)
    assert made.look_up({"alpha": 2, "lr": 7.0}, 64, 0) == made.look_up(
        {"alpha": 2, "lr": 1.0}, 64, 0
    )


def test_configs_drawn_are_distinct_and_of_the_grid():
    drawn = table().draw(80, np.random.default_rng(0))
    assert len({tuple(config.values()) for config in drawn}) == 80


def test_a_second_training_of_the_full_network_has_the_next_seed():
    made = table(noise=0.1)
    training = Training(made, (3, 1))
    config = {"alpha": 0, "lr": RATES[5]}
    values = [training(Narrow(width), config)["value"] for width in (1024, 16, 1024)]
    assert values == [
        made.look_up(config, width, seed)[0] for width, seed in ((1024, 3), (16, 1), (1024, 1))
    ]


def test_densities_become_the_widths_of_the_table():
    build = Training(table(), (0, 1)).build
    assert [build(d).width for d in (1 / 64, 1 / 16, 0.07, 0.3, 1)] == [16, 64, 64, 256, 1024]


def test_the_proxy_costs_less_and_finds_what_the_full_search_finds(monkeypatch):
    monkeypatch.setattr(tabular, "STRATEGIES", strategies("full", "1/16"))
    full, proxy = (
        tabular.repetition(table(), 0, 30, name)["decisions"] for name in ("full", "1/16")
    )
    assert full["no repeats"][1] == 30 * 1024
    assert full[""][1] == 33 * 1024
    assert proxy[""][1] == 30 * 64 + 3 * 1024
    assert proxy["single best"][1] == 30 * 64 + 1024
    assert proxy[""][0] == pytest.approx(full[""][0], abs=0.001)
    assert full["first 15% of the time"][1] == 4 * 1024


def test_a_network_of_another_width_is_trained_from_the_start():
    made = table()
    configs = made.draw(12, np.random.default_rng(0))
    strategy = tabular.STRATEGIES["1/64 (8), 1/16 (4), 1/4 (2)"]
    result = tabular.search(made, strategy, configs, (0, 1))
    runs = [sum(r.rung == rung for r in result.records) for rung in range(4)]
    assert runs == [12, 8, 4, 2]
    assert charged(result.records, strategy) == 12 * 16 + 8 * 64 + 4 * 256 + 2 * 1024
    going_on = replace(strategy, checkpoints=True)  # as over epochs
    assert charged(result.records, going_on) == 4 * 16 + 4 * 64 + 2 * 256 + 2 * 1024


def test_an_interrupted_run_is_resumed(monkeypatch, tmp_path):
    monkeypatch.setattr(tabular, "STRATEGIES", strategies("full", "1/16"))
    monkeypatch.setattr(tabular, "N_TRIALS", (5,))
    path, data_sets = tmp_path / "searches.jsonl", [[table(), table("made, depth 2")]]
    tabular.run(data_sets, 2, path)
    whole = tabular.read(path)
    assert {(o.table, o.repetition) for o in whole} == {("made, depth 1", 0), ("made, depth 2", 1)}
    path.write_text(path.read_text()[:-40])
    assert len(tabular.read(path)) < len(whole)
    tabular.run(data_sets, 2, path)
    assert tabular.read(path) == whole
    assert all(json.loads(line) for line in path.read_text().splitlines()[:-3] if line)


def test_the_report_has_every_strategy(monkeypatch, tmp_path):
    monkeypatch.setattr(tabular, "STRATEGIES", strategies("full", "1/16"))
    monkeypatch.setattr(tabular, "N_TRIALS", (5,))
    path = tmp_path / "searches.jsonl"
    tabular.run([[table(noise=0.01)], [table("other, depth 1", "other", 0.01)]], 2, path)
    page = tmp_path / "tabular.md"
    page.write_text("by hand\n<!-- below: written by python -m benchmarks.tabular -->\nold")
    tabular_report.write_report(tabular.read(path), tmp_path)
    text = page.read_text()
    assert text.startswith("by hand\n")
    assert "old" not in text
    for words in ("HPOBench, 5 trials", "| 1/16 |", "| full: no repeats | 1.000 |", "| other |"):
        assert words in text
    assert (tmp_path / "tabular.png").stat().st_size > 1000


def test_differences_are_paired_and_in_points():
    outcomes = [
        o
        for repetition, level in enumerate((-0.9, -0.5))
        for o in (
            outcome("full", level, 11, repetition=repetition),
            outcome("full: no repeats", level, 10, repetition=repetition),
            outcome("a", level + 0.02, 2, repetition=repetition),
        )
    ]
    found = summaries(outcomes, relative=False)
    assert found["a"].difference == pytest.approx(2)
    assert found["a"].cost == pytest.approx(0.2)
    assert found["full"].difference == 0


def test_intervals_resample_whole_data_sets():
    outcomes = [
        o
        for data_set, shift in (("a", 0.01), ("b", 0.03))
        for repetition in range(20)
        for o in (
            outcome("full", -0.9, 11, data_set, repetition),
            outcome("full: no repeats", -0.9, 10, data_set, repetition),
            outcome("a", -0.9 + shift, 2, data_set, repetition),
        )
    ]
    found = summaries(outcomes, relative=False)["a"]
    assert found.interval == pytest.approx((1, 3))
    assert found.worst == pytest.approx(3)


def test_what_is_chosen_for_a_data_set_is_chosen_on_the_others():
    def summary(cost, **by_data_set):
        return tabular_report.Summary(cost, np.array([1.0]), by_data_set, (0, 0))

    candidates = {
        "good here": summary(0.2, a=-9, b=1, c=1),
        "good elsewhere": summary(0.2, a=1, b=0, c=0),
        "too dear": summary(0.9, a=-9, b=-9, c=-9),
    }
    chosen = chosen_elsewhere(candidates, 0.25)
    assert chosen["a"] == ("good elsewhere", 1)
    assert chosen["b"][0] == "good here"
