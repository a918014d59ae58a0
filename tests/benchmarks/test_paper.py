import json
import pickle
import sys

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.datasets import cifar
from torchvision.transforms.functional import to_pil_image

from benchmarks import paper, paper_networks
from benchmarks.paper import Search
from benchmarks.paper_data import load
from benchmarks.paper_training import Training, Trainings, augmented
from benchmarks.rows import Rows
from proxyhpo.errors import UnknownNameError


@pytest.fixture(autouse=True)
def _undamaged(monkeypatch):
    """torchvision knows the digests of the real files."""
    monkeypatch.setattr(cifar, "check_integrity", lambda *_: True)


def batch(path, labels, key):
    """A file of CIFAR: each image, 3072 bytes, has the colour (number, label, 7)."""
    numbers = np.arange(len(labels))
    colours = np.stack([numbers, labels, np.full_like(numbers, 7)], 1).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        pickle.dump({"data": np.repeat(colours, 1024, axis=1), key: list(map(int, labels))}, file)


def names(path, key, count):
    with path.open("wb") as file:
        pickle.dump({key: [f"class {n}" for n in range(count)]}, file)


@pytest.fixture
def cifar10(tmp_path):
    folder = tmp_path / "cifar-10-batches-py"
    for number in range(5):
        batch(folder / f"data_batch_{number + 1}", np.arange(20) % 10, "labels")
    batch(folder / "test_batch", np.arange(30) % 10, "labels")
    names(folder / "batches.meta", "label_names", 10)
    return tmp_path


@pytest.fixture
def cifar100(tmp_path):
    folder = tmp_path / "cifar-100-python"
    batch(folder / "train", np.arange(400) % 100, "fine_labels")
    batch(folder / "test", np.arange(200) % 100, "fine_labels")
    names(folder / "meta", "fine_label_names", 100)
    return tmp_path


@pytest.fixture
def tinyimagenet(tmp_path):
    """Three classes in another order than that of their files; one image is grey."""
    root = tmp_path / "tiny-imagenet-200"
    lines = []
    (root / "val" / "images").mkdir(parents=True)
    for label, wnid in ((2, "n03"), (0, "n01"), (1, "n02")):
        images = root / "train" / wnid / "images"
        images.mkdir(parents=True)
        for number in range(4):
            jpeg(images / f"{wnid}_{number}.JPEG", 60 * label, grey=number == 3)
        jpeg(root / "val" / "images" / f"val_{label}.JPEG", 60 * label)
        lines.append(f"val_{label}.JPEG\t{wnid}\t0\t0\t63\t63\n")
    (root / "val" / "val_annotations.txt").write_text("".join(lines))
    return tmp_path


def jpeg(path, level, *, grey=False):
    image = torch.full((1 if grey else 3, 64, 64), level, dtype=torch.uint8)
    to_pil_image(image).save(path, "JPEG", quality=100)


def test_cifar10_is_read_from_its_batches(cifar10):
    data = load("cifar10", cifar10)
    sizes = [len(part[1]) for part in (data.train, data.validation, data.test)]
    assert (sizes, data.classes) == ([90, 10, 30], 10)
    for images, labels in (data.train, data.validation, data.test):
        assert images.shape[1:] == (3, 32, 32)
        assert images.dtype == torch.uint8
        assert torch.equal(images[:, 1, 5, 9], labels.byte())
        assert (images[:, 2] == 7).all()


def test_cifar100_is_read_by_its_fine_labels(cifar100):
    data = load("cifar100", cifar100)
    assert data.classes == 100
    assert torch.equal(data.test[0][:, 1, 0, 0], data.test[1].byte())
    assert sorted(data.validation[1].tolist()) == list(range(100))  # one of each class


def test_tinyimagenet_is_read_from_its_folders(tinyimagenet):
    data = load("tinyimagenet", tinyimagenet)
    sizes = [len(part[1]) for part in (data.train, data.validation, data.test)]
    assert (sizes, data.classes) == ([9, 3, 3], 3)
    for images, labels in (data.train, data.validation, data.test):
        assert images.shape[1:] == (3, 64, 64)
        levels = images.float().mean((1, 2, 3))
        assert torch.allclose(levels, 60.0 * labels, atol=2)


def test_the_split_is_the_same_at_every_call_and_apart(cifar10):
    first, second = (load("cifar10", cifar10) for _ in range(2))
    assert torch.equal(first.validation[0], second.validation[0])
    # Within a class, images of one number are equal in all five batches.
    assert torch.bincount(first.validation[1]).tolist() == [1] * 10
    assert torch.bincount(first.train[1]).tolist() == [9] * 10


def test_a_quick_look_takes_few_of_each_part(cifar10):
    data = load("cifar10", cifar10, examples=6)
    assert [len(part[0]) for part in (data.train, data.validation, data.test)] == [6, 6, 6]


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"tiny-imagenet-200\.zip in "):
        load("tinyimagenet", tmp_path)
    with pytest.raises(UnknownNameError, match="cifar10"):
        load("cifar11", tmp_path)


@pytest.mark.parametrize("name", paper_networks.NETWORKS)
@pytest.mark.parametrize("size", [32, 64])
def test_networks_take_small_images(name, size):
    with torch.device("meta"):
        network = paper_networks.NETWORKS[name](7)
        assert network(torch.empty(2, 3, size, size)).shape == (2, 7)
    millions = sum(p.numel() for p in network.parameters()) / 1e6
    expected = {"resnet56": 0.86, "vgg16-bn": 14.7, "mobilenet-v2": 2.2, "densenet-bc-100": 0.77}
    assert millions == pytest.approx(expected[name], rel=0.02)


def test_augmenting_moves_and_mirrors_each_image_for_itself():
    images = torch.arange(1, 65, dtype=torch.uint8).view(1, 1, 8, 8).repeat(200, 3, 1, 1)
    moved = augmented(images)
    assert moved.shape == images.shape
    assert moved.dtype == torch.uint8
    assert len({tuple(image.flatten().tolist()) for image in moved}) > 50
    assert set(moved.unique().tolist()) <= set(range(65))
    steps = (moved[:, 0, :, 1:].int() - moved[:, 0, :, :-1].int())[:, 4]
    inside = steps[(moved[:, 0, 4, 1:] > 0) & (moved[:, 0, 4, :-1] > 0)]
    assert set(inside.tolist()) == {1, -1}  # neighbours stay neighbours, either way round


def test_the_learning_rate_falls_twice(cifar10, monkeypatch):
    rates = []

    class Noting(torch.optim.SGD):
        def step(self, *arguments):
            rates.append(self.param_groups[0]["lr"])
            super().step(*arguments)

    monkeypatch.setattr(torch.optim, "SGD", Noting)
    training = Training(load("cifar10", cifar10), 4, torch.device("cpu"))
    config = {"lr": 0.1, "momentum": 0.9, "weight_decay": 0, "batch_size": 90}
    assert len(list(training(tiny(10), config))) == 4
    assert rates == pytest.approx([0.1, 0.1, 0.01, 0.001])


def tiny(classes):
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, 4), nn.BatchNorm2d(16), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, classes),
    )  # fmt: skip


def searches(**options):
    common = {"trials": 4, "epochs": 1, "finalists": 2, "density": 0.5, **options}
    own = Search("cifar10", "resnet56", "grid", "random", **common)
    return [own.on_the_base, own]


@pytest.fixture
def trainings(cifar10, monkeypatch):
    monkeypatch.setitem(paper.NETWORKS, "resnet56", tiny)
    return Trainings(cifar10, torch.device("cpu"), download=False)


def test_the_experiment_is_told_of_in_a_table(trainings, tmp_path):
    rows = Rows(tmp_path / "paper.jsonl")
    paper.run(searches(), rows, trainings, repeats=2)
    lines = list(paper.table(searches(), rows, repeats=2))
    assert len(lines) == 3
    cells = [cell.strip() for cell in lines[2].strip("|").split("|")]
    assert cells[:4] == ["cifar10", "resnet56", "grid", "random"]
    assert len(cells) == len(paper.HEAD)
    base, own = (rows.get(paper.asdict(search)) for search in searches())
    full = base["decisions"]["best"]["seconds"]
    ranked, single = (own["decisions"][name]["seconds"] for name in ("best", "single best"))
    assert 0 < single < ranked
    assert cells[5:7] == [f"{1 - ranked / full:.0%}", f"{1 - single / full:.0%}"]
    assert base["width_ratio"] == 1 > own["width_ratio"]


def test_what_was_found_is_tested_on_images_that_no_search_saw(trainings, monkeypatch, tmp_path):
    seen, accuracy = [], Training.accuracy

    def noting(training, network, part):
        seen.append(next(n for n in ("validation", "test") if getattr(training.data, n) is part))
        return accuracy(training, network, part)

    monkeypatch.setattr(Training, "accuracy", noting)
    paper.run(searches()[:1], Rows(tmp_path / "paper.jsonl"), trainings, repeats=2)
    assert seen == ["validation"] * 4 + ["test"] * 2


def test_nothing_is_measured_twice(trainings, monkeypatch, tmp_path):
    path = tmp_path / "paper.jsonl"
    paper.run(searches(), Rows(path), trainings, repeats=1)
    whole = path.read_text()

    def refuse(*_):
        raise AssertionError("trained again")

    monkeypatch.setattr(Training, "_epochs", refuse)
    paper.run(searches(), Rows(path), trainings, repeats=1)
    assert path.read_text() == whole
    with pytest.raises(Exception, match="trained again"):
        paper.run(searches(), Rows(path), trainings, repeats=2)


def test_a_search_is_gone_on_with_from_its_store(trainings, monkeypatch, tmp_path):
    path, own = tmp_path / "paper.jsonl", searches()[1]
    training = trainings.of("cifar10", 1, None)
    (tmp_path / "paper").mkdir()
    own.study(training, tmp_path / "paper" / own.store).run(2)
    trained = []
    epochs = Training._epochs
    monkeypatch.setattr(Training, "_epochs", lambda *given: trained.append(given) or epochs(*given))
    paper.run([own], Rows(path), trainings, repeats=0)
    assert 2 <= len(trained) <= 4  # of six; the two best may be others now


def test_tests_have_seeds_of_their_own_and_repeat(trainings):
    search = searches()[0]
    config = {"lr": 0.1, "momentum": 0.9, "weight_decay": 0, "batch_size": 8}
    training = trainings.of("cifar10", 1, None)
    drawn = []

    def noting(network, config):
        drawn.append(torch.rand(()).item())

    object.__setattr__(training, "to_the_end", noting)
    for repeat in (0, 1, 0):
        paper.tested(search, paper.test_of(search, config, repeat), training)
    assert drawn[0] == drawn[2] != drawn[1]


def test_the_command_knows_the_whole_experiment(monkeypatch):
    asked = paper.searches_of(paper._parser().parse_args([]))
    assert len(asked) == 3 * 4 * 3 * (1 + 3)
    assert len({search.store for search in asked}) == len(asked)
    assert {(s.trials, s.epochs, s.examples) for s in asked} == {(100, 160, None)}
    smoke = paper.searches_of(paper._parser().parse_args(["--smoke", "--data", "cifar100"]))
    assert {(s.data, s.epochs, s.examples) for s in smoke} == {("cifar100", 1, 256)}


def test_the_command_reports_what_there_is(monkeypatch, capsys, tmp_path):
    path = tmp_path / "paper.jsonl"
    command = ["paper", "--report-only", "--out", str(path), "--folder", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", command)
    paper.main()
    assert capsys.readouterr().out.count("\n") == 2  # the head


def test_rows_survive_a_cut_line(tmp_path):
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
