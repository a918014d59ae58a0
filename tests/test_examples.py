"""Every example is run as a user runs it, in an empty folder, but with few trials."""

import re
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from torch.utils.data import DataLoader

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))
CIFAR = EXAMPLES[0].with_name("07_cifar.py")
N_TRIALS = 2


@pytest.fixture
def run(monkeypatch, tmp_path, capsys, at_most):
    """Runs an example with two trials, of which one climbs, and gives what it printed."""
    monkeypatch.chdir(tmp_path)
    at_most(N_TRIALS, finalists=1)

    def run(path):
        monkeypatch.setattr(sys, "argv", [str(path)])
        runpy.run_path(str(path), run_name="__main__")
        return capsys.readouterr().out

    return run


@pytest.fixture(autouse=True)
def _threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_examples_are_numbered_without_gaps():
    assert [path.name[:2] for path in EXAMPLES] == [
        f"{number:02d}" for number in range(1, 1 + len(EXAMPLES))
    ]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_runs_to_its_end_and_says_what_it_found(path, run):
    printed = run(path)
    assert "base trainings" in printed
    assert "lr" in printed
    if "store=" in path.read_text():  # the second time there is nothing left to train
        assert "0 trainings are in the file" in printed
        again = run(path)
        n_trainings = re.search(r"(\d+) trainings are in the file", again)
        assert n_trainings
        assert int(n_trainings[1]) >= N_TRIALS  # more if trials climb from a proxy
        assert again.partition("Result")[2] == printed.partition("Result")[2]


@pytest.fixture
def prepared(monkeypatch, tmp_path):
    """The names of the CIFAR example after it has read its data, without a search."""

    def prepared(data):
        monkeypatch.setattr(sys, "argv", [str(CIFAR), "--data", str(tmp_path / data)])
        return runpy.run_path(str(CIFAR))  # its name is not __main__, so that it does not search

    return prepared


def test_the_cifar_example_trains_and_validates_on_the_parts_of_an_archive(prepared, tmp_path):
    rng, arrays = np.random.default_rng(0), {"classes": np.array([*"abcdefghij"])}
    for part, n in (("train", 6), ("val", 4), ("test", 2)):
        arrays[f"{part}_images"] = rng.integers(256, size=(n, 3, 32, 32), dtype=np.uint8)
        arrays[f"{part}_labels"] = rng.integers(10, size=n, dtype=np.uint8)
    np.savez(tmp_path / "cifar10.npz", **arrays)
    names = prepared("cifar10.npz")
    mean, std = (
        np.reshape(n, (3, 1, 1)) for n in (names["normalize"].mean, names["normalize"].std)
    )
    for part, (images, labels) in (("train", names["train"]), ("val", names["validation"])):
        assert np.allclose(images, (arrays[f"{part}_images"] / 255 - mean) / std, atol=1e-5)
        assert labels.tolist() == arrays[f"{part}_labels"].tolist()


def test_the_cifar_example_downloads_into_a_folder_that_does_not_exist_yet(prepared, monkeypatch):
    asked = []

    def cifar10(root, *, transform, download):
        asked.append((root.name, root.exists(), download))
        return torchvision.datasets.FakeData(20, (3, 32, 32), transform=transform)

    monkeypatch.setattr(torchvision.datasets, "CIFAR10", cifar10)
    names = prepared("new")
    assert asked == [("new", False, True)]
    assert sorted([*names["train"].indices, *names["validation"].indices]) == [*range(20)]
    images, labels = next(iter(DataLoader(names["train"], batch_size=18)))
    assert images.shape == (18, 3, 32, 32)
    assert labels.dtype == torch.int64
