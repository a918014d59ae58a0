import sys

import numpy as np
import pytest
import torch

from benchmarks import peers
from benchmarks.images import Images, of_classes, read_cifar10, read_digits
from benchmarks.peers import Experiment
from benchmarks.peers_loops import PEERS, SPACE, Task
from benchmarks.peers_report import Search, reached, table
from benchmarks.rows import Rows


def made(n=24):
    generator = torch.Generator().manual_seed(0)

    def part():
        labels = torch.arange(n) % 10
        noise = torch.randn(n, 1, 8, 8, generator=generator)
        return noise + labels[:, None, None, None], labels

    return Images(part(), part(), part(), "made")


@pytest.fixture
def task():
    return Task(made(), 8, 3)


@pytest.mark.parametrize("peer", PEERS)
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")
def test_each_peer_searches_by_its_own_loop(task, peer):
    found = peers.search(task, PEERS[peer](), 4, seed=1)
    incumbents = found["incumbents"]
    values = [each["validation"] for each in incumbents]
    assert values == sorted(set(values))
    seconds = [each["seconds"] for each in incumbents]
    assert seconds == sorted(seconds)
    assert 0 < seconds[-1] <= found["seconds"]
    for each in incumbents:
        assert SPACE.validate(each["config"]) == pytest.approx(each["config"])
    most = {"proxyhpo, 2.5 x the trials": 10, "one epoch, best 3": 3}.get(peer, 4)
    if peer.startswith("proxyhpo"):  # all, where a proxy of this small task saves too little
        assert 1 <= found["full_trainings"] <= most
    elif peer != "Optuna TPE, Hyperband":
        assert found["full_trainings"] == most


def test_hyperband_has_the_epochs_of_full_trainings(task, monkeypatch):
    seen = []
    train = Task.train

    def counted(self, network, config, *, epochs=None):
        for value in train(self, network, config, epochs=epochs):
            seen.append(value)
            yield value

    monkeypatch.setattr(Task, "train", counted)
    found = peers.search(task, PEERS["Optuna TPE, Hyperband"](), 6, seed=0)
    assert 18 <= len(seen) < 18 + task.epochs
    assert 0 < found["full_trainings"] <= 6


def test_an_epoch_for_each_decides_which_three_are_trained(task, monkeypatch):
    trained = []

    def value(self, config, *seed, epochs=None):
        trained.append((config["lr"], epochs))
        return config["lr"]

    monkeypatch.setattr(Task, "value", value)
    noted = []
    PEERS["one epoch, best 3"]()(task, 8, 0, lambda config, _: noted.append(config["lr"]))
    short = [lr for lr, epochs in trained if epochs == 1]
    assert len(short) == 8
    assert noted == sorted(short)[:-4:-1] == [lr for lr, epochs in trained if epochs is None]


def test_trainings_repeat_by_their_seed(task):
    config = SPACE.center()
    assert task.value(config, 0, 1) == task.value(config, 0, 1)
    first, second = (
        next(iter(task.trained(config, 0, seed)))[0].state_dict()["0.weight"] for seed in (1, 2)
    )
    assert not torch.equal(first, second)


def test_quality_is_measured_on_the_test_images(task):
    images, labels = task.images.test
    blank = Task(
        Images(task.images.train, task.images.validation, (images, labels + 10), "x"), 8, 3
    )
    assert blank.quality(SPACE.center(), 2) == 0  # no network says 10 or more


def test_each_search_is_a_row_and_done_once(task, monkeypatch, tmp_path):
    loops = {name: PEERS[name]() for name in ("Optuna TPE", "random")}
    experiment = Experiment(task, 2, 1)
    path = tmp_path / "peers.jsonl"
    experiment.run(loops, range(2), Rows(path))
    whole = path.read_text()
    monkeypatch.setattr(peers, "search", None)
    experiment.run(loops, range(2), Rows(path))
    assert path.read_text() == whole
    found = experiment.finished(list(loops), 5, Rows(path))
    assert {name: len(searches) for name, searches in found.items()} == dict.fromkeys(loops, 2)
    assert all(0 <= search.end <= 1 for searches in found.values() for search in searches)
    lines = list(table(found))
    assert lines[0].startswith("2 seeds")
    assert sum(line.startswith("| random |") for line in lines) == 1


def test_libraries_that_are_not_installed_are_skipped(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert list(peers.installed(["random", "Optuna TPE"])) == ["random"]
    assert "Optuna TPE is left out" in capsys.readouterr().err


def test_the_report_is_a_page_with_a_figure(task, monkeypatch, tmp_path):
    monkeypatch.setattr(peers, "read_digits", lambda: task.images)
    page = tmp_path / "page.md"
    options = f"--trials 2 --seeds 2 --fresh 1 --epochs 3 --width 8 --page {page}".split()
    options += ["--out", f"{tmp_path}/rows.jsonl", "--peers", "Optuna TPE", "random"]
    monkeypatch.setattr(sys, "argv", ["peers", *options])
    peers.main()
    assert not page.exists()
    monkeypatch.setattr(sys, "argv", ["peers", *options, "--report"])
    peers.main()
    text = page.read_text()
    assert text.startswith("# Peers")
    assert "2 seeds" in text
    assert "(page.png)" in text
    assert (tmp_path / "page.png").stat().st_size > 1000


def a_search(*found, seconds):
    moments, qualities = zip(*found, strict=True)
    return Search(np.array(moments, float), np.array(qualities, float), seconds, len(found))


def test_a_search_is_worth_nothing_before_its_first_full_training():
    search = a_search((2, 0.5), (6, 0.4), seconds=9)
    assert search.at(np.array([0, 2, 5.9, 6, 100.0])).tolist() == [0, 0.5, 0.5, 0.4, 0.4]
    assert search.end == 0.4


def test_a_target_is_reached_by_the_mean_over_the_seeds():
    searches = [a_search((1, 0.2), (4, 0.8), seconds=5), a_search((2, 0.4), seconds=5)]
    drawn = np.array([[0, 1], [0, 0], [1, 1]])
    assert reached(searches, np.array([0.6, 0.6, 0.6]), drawn).tolist() == [4, 4, np.inf]
    assert reached(searches, np.array([0.3, 0.2, 0.4]), drawn).tolist() == [2, 1, 2]


def test_the_table_compares_with_optuna():
    slow = [a_search((5, 0.5), (10, 0.7), seconds=20) for _ in range(4)]
    quick = [a_search((2, 0.8), seconds=4) for _ in range(4)]
    never = [a_search((2, 0.6), seconds=4) for _ in range(4)]
    lines = list(table({"proxyhpo": quick, "Optuna TPE": slow, "random": never}))
    cells = {
        line.split("|")[1].strip(): [cell.strip() for cell in line.split("|")[2:-1]]
        for line in lines
        if line.startswith("|")
    }
    assert cells["proxyhpo"] == [
        "1.0", "4", "0.20 [0.20, 0.20]", "80.00 [80.00, 80.00]", "+10.00 [+10.00, +10.00]",
        "80.00 [80.00, 80.00]", "0.10 [0.10, 0.10]", "100%",
    ]  # fmt: skip
    assert cells["Optuna TPE"][-3:] == ["0.00 [0.00, 0.00]", "0.50 [0.50, 0.50]", "100%"]
    assert cells["random"][-2:] == ["never [never, never]", "0%"]


def test_without_the_reference_there_is_no_table():
    assert next(table({"random": [a_search((1, 0.5), seconds=2)]})).startswith("no seed")


def test_the_command_resumes(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(peers, "read_digits", made)
    options = (
        f"--trials 2 --seeds 1 --fresh 1 --epochs 1 --out {tmp_path}/rows.jsonl --peers random"
    )
    monkeypatch.setattr(sys, "argv", command := ["peers", *options.split()])
    peers.main()
    assert "seed 0, random" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", [*command, "Optuna TPE"])
    peers.main()
    out, err = capsys.readouterr()
    assert "random" not in err
    assert "| Optuna TPE |" in out


def test_digits_are_in_three_parts():
    parts = read_digits()
    sizes = [len(labels) for _, labels in (parts.train, parts.validation, parts.test)]
    assert sizes == [1000, 300, 497]
    assert parts.shape == (1, 8, 8)
    assert abs(parts.train[0].mean()) < 1e-5


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
