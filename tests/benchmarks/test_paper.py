import json
import sys
from dataclasses import replace

import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

from benchmarks.image_files import data_sets_in
from benchmarks.paper import __main__ as paper
from benchmarks.paper import networks as paper_networks
from benchmarks.paper.arms import Cell, search
from benchmarks.paper.report import differences, interval, measured, page
from benchmarks.paper.training import SMALL, Meter, Training
from benchmarks.rows import Rows

CONFIG = {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.0}


@pytest.mark.parametrize("name", paper_networks.NETWORKS)
@pytest.mark.parametrize("size", [32, 64])
def test_networks_take_small_images(name, size):
    with torch.device("meta"):
        network = paper_networks.NETWORKS[name](7)
        assert network(torch.empty(2, 3, size, size)).shape == (2, 7)
    millions = sum(p.numel() for p in network.parameters()) / 1e6
    expected = {"resnet": 0.86, "vgg16-bn": 14.7, "mobilenet-v2": 2.2}
    assert millions == pytest.approx(expected[name], rel=0.02)


@pytest.mark.parametrize("name", paper_networks.SMALL_NETWORKS)
def test_small_networks_end_in_few_pixels(name):
    network = paper_networks.SMALL_NETWORKS[name](7)
    seen = []
    last = [module for module in network.modules() if isinstance(module, nn.Conv2d)][-1]
    last.register_forward_hook(lambda _module, _inputs, output: seen.append(output.shape[-1]))
    assert network(torch.zeros(2, 3, 16, 16)).shape == (2, 7)
    assert seen[0] in {1, 2, 4}
    assert sum(p.numel() for p in network.parameters()) < 1e6


def tiny(classes):
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, 4), nn.BatchNorm2d(16), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, classes),
    )  # fmt: skip


SCALE = replace(
    SMALL, name="tiny", networks={"resnet": tiny}, epochs=1, batch_size=15, most=(60, 20, 30)
)


@pytest.fixture
def training(archive):
    data = SCALE.images(data_sets_in(archive)["colours"]())
    return Training(data, SCALE, torch.device("cpu"))


def test_many_classes_get_more_images(archive):
    data = data_sets_in(archive)["colours"]()
    scale = replace(SCALE, most=(10, 5, 5), most_of_many_classes=(20, 5, 5))
    assert len(scale.images(data).train[1]) == 10
    assert len(scale.images(replace(data, classes=11)).train[1]) == 20


@pytest.fixture
def rows(tmp_path):
    return Rows(tmp_path / "paper.jsonl")


def test_the_learning_rate_falls_twice(training, monkeypatch):
    rates = []

    class Noting(torch.optim.SGD):
        def step(self, *arguments):
            rates.append(self.param_groups[0]["lr"])
            super().step(*arguments)

    monkeypatch.setattr(torch.optim, "SGD", Noting)
    training = replace(training, scale=replace(SCALE, epochs=2, batch_size=30))
    assert len(list(training(tiny(5), CONFIG))) == 2
    assert rates == pytest.approx([0.1, 0.1, 0.01, 0.001])


def test_a_training_runs_once_and_is_charged_each_time(training, rows):
    def metered():
        torch.manual_seed(3)
        meter = Meter(training, rows, {"data": "colours"})
        began = meter.seconds
        return list(meter(tiny(5), CONFIG, seed=1)), meter.seconds - began

    first, measured = metered()
    training.data.train[0].zero_()  # a second training would differ
    second, charged = metered()
    assert second == first
    assert measured >= first[-1]["seconds"] > 0
    assert charged >= first[-1]["seconds"]


@pytest.mark.parametrize("other", ["weights", "config", "seed"])
def test_another_training_is_not_replayed(training, rows, other):
    torch.manual_seed(3)
    meter = Meter(training, rows, {})
    network = tiny(5)
    list(meter(network, CONFIG, seed=1))
    torch.manual_seed(4 if other == "weights" else 3)
    config = CONFIG | {"lr": 0.2} if other == "config" else CONFIG
    list(meter(tiny(5), config, seed=2 if other == "seed" else 1))
    assert rows.path.read_text().count("reports") == 2


def test_an_interrupted_training_is_not_replayed(training, rows):
    meter = Meter(training, rows, {})
    generator = meter(tiny(5), CONFIG, seed=1)
    next(generator)
    generator.close()
    assert not rows.path.exists()


def cell(**options):
    return Cell("colours", "resnet", "tpe", **{"trials": 4, **options})


def test_the_papers_way_trains_one_config_on_the_full_network(training, rows):
    found = search(cell(), "paper", training, rows)
    densities = [run["density"] for run in found["runs"]]
    assert sorted(densities) == pytest.approx([0.3] * 4 + [1])
    best = max(found["runs"][:4], key=lambda run: run["value"])
    assert found["runs"][-1]["config"] == best["config"] == found["config"]
    assert found["seconds"] > sum(run["seconds"] for run in found["runs"])


def test_the_searches_of_a_cell_start_from_the_same_configs(training, rows):
    full, paper_ = (search(cell(), arm, training, rows)["runs"][:4] for arm in ("full", "paper"))
    assert [run["config"] for run in full] == [run["config"] for run in paper_]
    assert {run["density"] for run in full} == {1}


def test_a_search_that_is_run_again_replays_its_trainings(training, rows, monkeypatch):
    first = search(cell(), "full", training, rows)
    monkeypatch.setattr(Training, "_epochs", lambda *_: pytest.fail("trained again"))
    second = search(cell(), "full", training, rows)
    assert [run["value"] for run in second["runs"]] == [run["value"] for run in first["runs"]]


def test_returned_configs_are_tested_on_images_that_no_search_saw(training, rows, monkeypatch):
    seen, accuracy = [], Training.accuracy

    def noting(training, network, part):
        seen.append(next(n for n in ("validation", "test") if getattr(training.data, n) is part))
        return accuracy(training, network, part)

    monkeypatch.setattr(Training, "accuracy", noting)
    paper.measure([cell()], ["full"], training, rows, repeats=2)
    assert seen == ["validation"] * 4 + ["test"] * 2


def test_nothing_is_measured_twice(training, monkeypatch, rows):
    paper.measure([cell()], ["full", "paper"], training, rows, repeats=1)
    whole = rows.path.read_text()
    monkeypatch.setattr(Training, "_epochs", lambda *_: pytest.fail("trained again"))
    paper.measure([cell()], ["full", "paper"], training, Rows(rows.path), repeats=1)
    assert rows.path.read_text() == whole


def test_tests_have_seeds_of_their_own_and_repeat(training):
    drawn = []
    object.__setattr__(training, "to_the_end", lambda *_: drawn.append(torch.rand(()).item()))
    for repeat in (0, 1, 0):
        paper.tested(paper.test_of(cell(), SCALE, CONFIG, repeat), training)
    assert drawn[0] == drawn[2] != drawn[1]


def test_the_command_runs_and_resumes(archive, monkeypatch, tmp_path):
    out = tmp_path / "out.jsonl"
    choice = "--network resnet --searcher cma-es --arm paper --trials 2 --repeats 1 --smoke"
    command = ["paper", "--data", str(archive), *choice.split(), "--out", str(out)]
    monkeypatch.setattr(sys, "argv", command)
    paper.main()
    whole = out.read_text()
    assert whole.count('"of"') == 2  # a search and a test
    paper.main()
    assert out.read_text() == whole


def row(arm, seconds, lr, **of):
    cell = {"scale": "small", "data": "cifar10", "network": "resnet", "searcher": "tpe",
            "trials": 20, "seed": 0}  # fmt: skip
    density = 0.3 if arm == "paper" else 1
    runs = [
        {"config": {"lr": n / 10}, "density": density, "value": n * sign, "seconds": 1}
        for n, sign in zip(range(6), (1, 1, 1, 1, 1, 1 if arm == "full" else -1), strict=True)
    ]
    return cell | {"arm": arm} | of, {"seconds": seconds, "config": {"lr": lr}, "runs": runs}


def accuracy_of_lr(lr, repeat, accuracy, data="cifar10"):
    of = {"scale": "small", "data": data, "network": "resnet"}
    return {**of, "test": repeat, "config": {"lr": lr}}, {"accuracy": accuracy}


def test_the_page_has_cost_difference_and_ranks(rows):
    for of, found in (
        row("full", 200.0, 0.1), row("paper", 50.0, 0.2),
        accuracy_of_lr(0.1, 0, 0.5), accuracy_of_lr(0.1, 1, 0.6), accuracy_of_lr(0.2, 0, 0.52),
        row("full", 100.0, 0.1, data="cifar100"),  # alone: not in the table
        accuracy_of_lr(0.1, 0, 0.1, data="cifar100"),
    ):  # fmt: skip
        rows.add(of, found)
    [cell] = measured(rows, "small")
    assert cell.cost("paper") == 0.25
    assert cell.difference("paper") == pytest.approx(-3)
    assert cell.shared("paper") == ([0, 1, 2, 3, 4, -5], [0, 1, 2, 3, 4, 5])
    lines = list(page([cell], "paper.png"))
    assert "| cifar10 | the paper's method | 1 | 0.25 | -3.00 | -3.0 |" in lines
    [line] = [line for line in lines if line.startswith("| cifar10 | resnet")]
    ranks = spearmanr([0, 1, 2, 3, 4, -5], range(6)).statistic
    assert "| 200 | 55.0 | 0.25 | -3.0 | " + f"{ranks:.2f} (n=6)" in line


def test_arms_are_compared_in_the_same_cells(rows):
    for of, found in (
        row("full", 200.0, 0.1), row("paper", 60.0, 0.1), row("proxyhpo", 30.0, 0.1),
        accuracy_of_lr(0.1, 0, 0.5),
    ):  # fmt: skip
        rows.add(of, found)
    lines = list(page(measured(rows, "small"), "paper.png"))
    assert any("less than the paper's method in 1 of 1 cells" in line for line in lines)


def test_a_cell_with_more_seeds_has_no_more_weight(rows):
    for of, found in (
        *(row("full", 100.0, 0.1, seed=seed) for seed in (0, 1)),
        *(row("paper", seconds, 0.2, seed=seed) for seed, seconds in ((0, 10.0), (1, 30.0))),
        row("full", 100.0, 0.1, data="cifar100"), row("paper", 40.0, 0.2, data="cifar100"),
        accuracy_of_lr(0.1, 0, 0.5), accuracy_of_lr(0.2, 0, 0.4),
        accuracy_of_lr(0.1, 0, 0.5, data="cifar100"), accuracy_of_lr(0.2, 0, 0.2, data="cifar100"),
    ):  # fmt: skip
        rows.add(of, found)
    lines = list(page(measured(rows, "small"), "paper.png"))
    assert "| cifar10 | the paper's method | 1 | 0.20 | -10.00 | -10.0 |" in lines
    assert any("| all | the paper's method | 2 | 0.30 | -20.00 [" in line for line in lines)


def test_searchers_of_one_network_count_as_one_observation(rows):
    accuracies = {("cifar10", "tpe"): 0.4, ("cifar10", "bayesian"): 0.6, ("cifar100", "tpe"): 0.5}
    for n, ((data, searcher), accuracy) in enumerate(accuracies.items()):
        for of, found in (
            row("full", 100.0, 0.1, data=data, searcher=searcher),
            row("paper", 40.0, n + 2, data=data, searcher=searcher),
            accuracy_of_lr(n + 2, 0, accuracy, data=data),
        ):
            rows.add(of, found)
    for data in ("cifar10", "cifar100"):
        rows.add(*accuracy_of_lr(0.1, 0, 0.5, data=data))
    cells = measured(rows, "small")
    assert sorted(differences(cells, "paper")) == pytest.approx([-10, 0, 10])
    assert interval(cells, "paper") == pytest.approx((0, 0))


def test_without_rows_the_page_says_so(rows):
    assert list(page(measured(rows, "small"), "paper.png")) == ["Nothing has been measured yet."]


def test_the_report_writes_page_and_picture(rows, monkeypatch, tmp_path):
    for of, found in (row("full", 9.0, 0.1), row("paper", 3.0, 0.1), accuracy_of_lr(0.1, 0, 0.5)):
        rows.add(of, found)
    monkeypatch.setattr(paper, "PAGE", tmp_path / "page.md")
    paper.report(rows, SMALL)
    assert "![" in (tmp_path / "page.md").read_text()
    assert (tmp_path / "page.png").stat().st_size > 1000


def test_a_cut_line_does_not_lose_other_rows(tmp_path):
    rows = Rows(tmp_path / "rows.jsonl")
    rows.add({"a": 1, "b": 2}, {"x": 1})
    rows.add({"a": 2}, {"x": 2})
    rows.path.write_text(rows.path.read_text()[:-5])
    again = Rows(rows.path)
    assert again.get({"b": 2, "a": 1}) == {"x": 1}
    assert again.get({"a": 2}) is None
    again.add({"a": 2}, {"x": 3})
    assert Rows(rows.path).get({"a": 2}) == {"x": 3}
    assert json.loads(rows.path.read_text().splitlines()[-1])["found"] == {"x": 3}
