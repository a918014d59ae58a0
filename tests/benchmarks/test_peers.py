"""The comparison with other libraries: every loop, what is judged when, and the report."""

import sys
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks.cifar.networks import Task, sgd
from benchmarks.cifar.training import Examples
from benchmarks.images import of_classes, read_cifar10
from benchmarks.peers import __main__ as peers
from benchmarks.peers.__main__ import Experiment
from benchmarks.peers.loops import PEERS
from benchmarks.peers.report import FRACTIONS, Search, _over_tasks, report
from benchmarks.peers.tasks import PROBLEMS, Problem, load_problem
from benchmarks.rows import Rows
from proxyhpo import Choice, Float, Int, Space

SPACE = Space(
    {
        "lr": Float(1e-3, 1.0, log=True),
        "momentum": Float(0.0, 0.9),
        "weight_decay": Float(1e-6, 1e-2),
        "batch_size": Choice([8, 16]),
        "kind": Choice(["plain", "smooth"]),
        "label_smoothing": Float(0.0, 0.3, when=("kind", "smooth")),
        "crop": Int(0, 2),
    }
)


def build():
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 3)
    )


def made(n=24):
    generator = torch.Generator().manual_seed(0)

    def part():
        labels = torch.arange(n) % 3
        noise = torch.randn(n, 3, 8, 8, generator=generator)
        return noise + labels[:, None, None, None], labels

    return Examples(part(), part(), part(), n)


@pytest.fixture
def problem():
    return Problem("made", Task(build, sgd, SPACE), made(), 3)


@pytest.mark.parametrize("peer", PEERS)
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")
def test_each_peer_searches_by_its_own_loop(problem, peer):
    found = peers.search(problem, PEERS[peer](), 4, seed=1)
    incumbents = found["incumbents"]
    configs = [each["config"] for each in incumbents]
    assert all(one != other for one, other in pairwise(configs))
    seconds = [each["seconds"] for each in incumbents]
    assert seconds == sorted(seconds)
    assert 0 < seconds[-1] <= found["seconds"]
    assert 0 < found["in_trainings"] < found["seconds"]
    for each in incumbents:
        assert SPACE.validate(each["config"]) == pytest.approx(each["config"])
    if peer == "one epoch, best 3":
        assert found["full_trainings"] == 3
    elif peer.startswith("proxyhpo"):  # all, where a proxy of this small network saves too little
        assert 1 <= found["full_trainings"] <= 8
    elif peer != "Optuna TPE, Hyperband":
        assert found["full_trainings"] == 4


def test_a_search_is_judged_by_the_config_that_it_would_return(problem):
    a, b = {"lr": 0.1}, {"lr": 0.2}

    def loop(_problem, _trials, _seed, note):
        note(a, 0.5)
        note(b, 0.4)
        note(b, 0.6)
        note(b, 0.3, best=a)  # under a second seed, after which the mean of the other is better

    found = peers.search(problem, loop, 2, seed=0)
    assert [each["config"] for each in found["incumbents"]] == [a, b, a]
    assert found["full_trainings"] == 4


def test_hyperband_has_the_epochs_of_full_trainings(problem, monkeypatch):
    seen = []
    train = Problem.train

    def counted(self, network, config, *, epochs=None):
        for value in train(self, network, config, epochs=epochs):
            seen.append(value)
            yield value

    monkeypatch.setattr(Problem, "train", counted)
    found = peers.search(problem, PEERS["Optuna TPE, Hyperband"](), 6, seed=0)
    assert 18 <= len(seen) < 18 + problem.epochs
    assert 0 < found["full_trainings"] <= 6


def test_an_epoch_for_each_decides_which_three_are_trained(problem, monkeypatch):
    trained = []

    def value(self, config, *seed, epochs=None):
        trained.append((config["lr"], epochs))
        return config["lr"]

    monkeypatch.setattr(Problem, "value", value)
    noted = []
    PEERS["one epoch, best 3"]()(problem, 8, 0, lambda config, _: noted.append(config["lr"]))
    short = [lr for lr, epochs in trained if epochs == 1]
    assert len(short) == 8
    assert noted == sorted(short)[:-4:-1] == [lr for lr, epochs in trained if epochs is None]


def test_trainings_repeat_by_their_seed(problem):
    config = SPACE.center()
    assert problem.value(config, 0, 1) == problem.value(config, 0, 1)
    first, second = (
        next(iter(problem.trained(config, 0, seed)))[0].state_dict()["0.weight"] for seed in (1, 2)
    )
    assert not torch.equal(first, second)


def test_quality_is_measured_on_the_test_examples(problem):
    inputs, labels = problem.examples.test
    blank = replace(problem, examples=replace(problem.examples, test=(inputs, labels + 3)))
    assert blank.quality(SPACE.center(), 0) == 0  # no network says 3 or more
    assert problem.chance == pytest.approx(1 / 3)


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_task_is_large_enough_to_tell_searches_apart(name, monkeypatch, tmp_path):
    monkeypatch.setattr("benchmarks.cifar.training.read_cifar10", lambda _, **most: most)
    task, sizes, _ = PROBLEMS[name]
    assert 8 <= len(task.space) <= 10
    unit = 64 if task.is_text else 1
    assert unit * min(sizes.validation, sizes.test) >= 3000


def test_the_task_with_text_needs_no_file():
    problem = load_problem("language", None)
    (tokens, _), config = problem.examples.train, problem.space.center()
    small = replace(problem.examples, train=(tokens[:4], problem.examples.train[1][:4]))
    network = problem.task.build()
    before = network.embedding.weight.clone()
    next(replace(problem, examples=small).train(network, {**config, "lr": 1e-9}, epochs=1))
    scale = (network.embedding.weight / before).median().item()
    assert scale == pytest.approx(config["init_scale"], rel=0.01)
    with pytest.raises(SystemExit, match="CIFAR-10"):
        load_problem("perceptron", None)


def test_each_search_and_test_is_a_row_and_done_once(problem, monkeypatch, tmp_path):
    loops = {name: PEERS[name]() for name in ("Optuna TPE", "random")}
    path = tmp_path / "peers.jsonl"
    experiment = Experiment("made", 3, 2, Rows(path))
    experiment.run(problem, loops, 0)
    whole = path.read_text()
    monkeypatch.setattr(peers, "search", None)
    monkeypatch.setattr(Problem, "quality", None)
    again = Experiment("made", 3, 2, Rows(path))
    again.run(problem, loops, 0)
    assert path.read_text() == whole
    found = again.finished(list(loops))
    assert {name: len(searches) for name, searches in found.items()} == dict.fromkeys(loops, 1)
    (reference,) = found["Optuna TPE"]
    assert reference.seconds == 1
    assert reference.accuracies[0] == pytest.approx(problem.chance)  # before its first training
    assert reference.accuracies[-1] == reference.end
    assert again.finished(["random", "hyperopt TPE"])["random"] == []


def test_libraries_that_are_not_installed_are_skipped(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert list(peers.installed(["random", "Optuna TPE"])) == ["random"]
    assert "Optuna TPE is left out" in capsys.readouterr().err


def test_the_command_resumes_and_writes_a_page_with_a_picture(
    problem, monkeypatch, capsys, tmp_path
):
    monkeypatch.setattr(peers, "load_problem", lambda *_: problem)
    page = tmp_path / "page.md"
    options = f"--trials 2 --seeds 0 --fresh 1 --task language --page {page}".split()
    options += ["--out", f"{tmp_path}/rows.jsonl", "--peers", "random"]
    monkeypatch.setattr(sys, "argv", ["peers", *options])
    peers.main()
    out, err = capsys.readouterr()
    assert "no seed" in out
    assert "language, seed 0, random" in err
    monkeypatch.setattr(sys, "argv", ["peers", *options, "Optuna TPE"])
    peers.main()
    out, err = capsys.readouterr()
    assert "random:" not in err
    assert "| Optuna TPE |" in out
    assert not page.exists()
    monkeypatch.setattr(sys, "argv", ["peers", *options, "Optuna TPE", "--report"])
    peers.main()
    text = page.read_text()
    assert text.startswith("# Peers")
    assert "(page.png)" in text
    assert (tmp_path / "page.png").stat().st_size > 1000


def a_search(*accuracies, end, seconds=1.0):
    return Search(accuracies, end, seconds, outside=0.02, first=0.03, full_trainings=4)


def cells(lines, search):
    return [
        [cell.strip() for cell in line.split("|")[2:-1]]
        for line in lines
        if line.startswith(f"| {search} |")
    ]


def test_the_report_compares_with_optuna_over_the_tasks_and_in_each():
    slow = [a_search(0.1, 0.3, 0.4, 0.5, 0.6, 0.7, end=0.7) for _ in range(4)]
    quick = [a_search(0.1, 0.2, 0.8, 0.8, 0.8, 0.8, end=0.8, seconds=0.12) for _ in range(4)]
    lines = list(report({"one": {"Optuna TPE": slow, "proxyhpo": quick},
                         "two": {"Optuna TPE": slow, "proxyhpo": slow}}))  # fmt: skip
    assert lines[0].startswith("Seeds: one 4, two 4")
    over, one, two = cells(lines, "proxyhpo")
    assert over == ["0.56", "+5.00", "0.5", "+0.00", "-5.00", "+20.00", "+15.00", "+10.00",
                    "+5.00", "1.2"]  # fmt: skip
    assert one[1:4] == ["0.12", "0.030", "0.020"]
    assert one[4:] == ["10.00", "20.00", "80.00", "80.00", "80.00", "80.00", "80.00", "+10.00",
                       "+10.00", "+10.00", "100%"]  # fmt: skip
    assert two[-1] == "50%"


def test_a_search_may_be_as_good_at_its_end():
    slow = [a_search(*[0.5] * len(FRACTIONS), end=0.7)]
    soon = [a_search(0.5, 0.5, 0.5, 0.5, 0.8, 0.8, end=0.8, seconds=0.3)]
    late = [a_search(*[0.5] * len(FRACTIONS), end=0.8, seconds=1.3)]
    never = [a_search(*[0.5] * len(FRACTIONS), end=0.6)]
    lines = list(report({"one": {"Optuna TPE": slow, "soon": soon, "late": late, "never": never}}))
    after = [cells(lines, name)[0][2] for name in ("soon", "late", "never")]
    assert after == ["0.30", "1.30", "never"]


def test_without_the_reference_there_is_no_table():
    assert next(iter(report({"one": {"random": [a_search(0.5, end=0.5)]}}))).startswith("no seed")


def test_other_peers_are_compared_on_the_seeds_that_they_have():
    searches = [a_search(*[x] * len(FRACTIONS), end=x) for x in (0.5, 0.6, 0.55)]
    all_seeds = {"one": {"Optuna TPE": searches}, "two": {"Optuna TPE": searches}}
    few = {"Optuna TPE": searches[:2], "random": searches[1:]}
    many = {"Optuna TPE": searches, "random": searches}
    none = {"Optuna TPE": [], "unfinished": []}
    others = {"random": {"one": few, "two": many}, "unfinished": {"one": none, "two": many}}
    lines = list(report(all_seeds, others))
    [row] = cells(lines, "random")
    assert row[:3] == ["2-3", "1.00", "+1.25"]  # without an interval: there are too few
    assert lines.index("## Other searches") > lines.index("## Two")
    assert not cells(lines, "unfinished")
    assert "## Other searches" not in list(report(all_seeds, {"unfinished": others["unfinished"]}))


@pytest.mark.parametrize("seeds", [3, 5, 20])
def test_the_interval_over_tasks_holds_the_true_mean_as_often_as_it_says(seeds):
    rng = np.random.default_rng(seeds)
    zero = [a_search(*[0.0] * len(FRACTIONS), end=0.0)] * seeds
    held = []
    for _ in range(400):
        found = {
            str(task): {
                "Optuna TPE": zero,
                "other": [
                    a_search(*[x] * len(FRACTIONS), end=x)
                    for x in rng.normal(0.01, 0.01 * (1 + task), seeds)
                ],
            }
            for task in range(2)
        }
        [_, difference, *_] = next(iter(cells(_over_tasks(found), "other")))
        low, high = map(float, difference.partition("[")[2].rstrip("]").split(", "))
        held.append(low <= 1.0 <= high)
    assert 0.92 <= np.mean(held) <= 0.985


def test_intervals_are_those_of_the_differences():
    rng = np.random.default_rng(0)
    own, other = rng.normal(0.6, 0.01, 20), rng.normal(0.5, 0.01, 20)
    found = {
        "Optuna TPE": [a_search(*[x] * 6, end=x) for x in other],
        "proxyhpo": [a_search(*[x] * 6, end=x) for x in own],
    }
    interval = cells(list(report({"one": found})), "proxyhpo")[1][-4]
    low, high = map(float, interval.partition("[")[2].rstrip("]").split(", "))
    half = 196 * (own - other).std(ddof=1) / np.sqrt(20)
    assert (high - low) / 2 == pytest.approx(half, rel=0.2)
    assert low < 100 * (own - other).mean() < high


def test_a_file_of_images_is_halved_and_standardised(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {}
    for name, n in (("train", 20), ("val", 6), ("test", 8)):
        arrays[f"{name}_images"] = rng.integers(256, size=(n, 3, 32, 32), dtype=np.uint8)
        arrays[f"{name}_labels"] = rng.integers(10, size=n, dtype=np.uint8)
    np.savez(tmp_path / "made.npz", **arrays)
    read = read_cifar10(tmp_path / "made.npz", train=12, validation=100, test=5)
    assert [len(part[0]) for part in (read.train, read.validation, read.test)] == [12, 6, 5]
    assert read.shape == (3, 16, 16)
    assert torch.allclose(read.train[0].std((0, 2, 3)), torch.ones(3), atol=1e-4)
    blocks = arrays["val_images"].reshape(6, 3, 16, 2, 16, 2).mean((3, 5)) / 255
    for channel in range(3):
        halved, got = blocks[:, channel].ravel(), read.validation[0][:, channel].ravel()
        assert np.corrcoef(halved, got)[0, 1] > 0.9999


def test_classes_are_renumbered_and_cut():
    labels = torch.tensor([3, 1, 3, 2, 3, 1])
    pictures, places = of_classes((torch.arange(6.0), labels), [3, 1], 2)
    assert pictures.tolist() == [0, 2, 1, 5]
    assert places.tolist() == [0, 0, 1, 1]
