import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.datasets import cifar
from torchvision.transforms.functional import to_pil_image

from benchmarks.image_files import cifar10_in, data_sets_in
from benchmarks.images import read_cifar10

CIFAR10 = "cifar-10-batches-py"


@pytest.fixture(autouse=True)
def _undamaged(monkeypatch):
    """torchvision knows the digests of the real files."""
    monkeypatch.setattr(cifar, "check_integrity", lambda *_: True)


def cifar_files(folder, labels, classes, **images):
    """Files of CIFAR with so many images each, in the colours (number in the file, label, 7)."""
    folder.mkdir()
    for name, count in images.items():
        numbers = np.arange(count)
        colours = np.stack([numbers, numbers % classes, np.full_like(numbers, 7)], 1)
        pixels = np.repeat(colours.astype(np.uint8), 1024, axis=1)
        dump(folder / name, {"data": pixels, labels: (numbers % classes).tolist()})


def dump(path, content):
    path.write_bytes(pickle.dumps(content))


@pytest.fixture
def cifar10(tmp_path):
    folder = tmp_path / CIFAR10
    batches = {f"data_batch_{number}": 20 for number in range(1, 6)}
    cifar_files(folder, "labels", 10, **batches, test_batch=30)
    dump(folder / "batches.meta", {"label_names": [f"class {n}" for n in range(10)]})
    return tmp_path


@pytest.fixture
def cifar100(tmp_path):
    folder = tmp_path / "cifar-100-python"
    cifar_files(folder, "fine_labels", 100, train=400, test=200)
    dump(folder / "meta", {"fine_label_names": [f"class {n}" for n in range(100)]})
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


def read(path, name):
    return data_sets_in(path)[name]()


def test_an_archive_is_read_in_its_three_parts(archive):
    data = read(archive, "colours")
    assert [len(labels) for _, labels in data.parts] == [60, 20, 30]
    assert data.classes == 5
    for images, labels in data.parts:
        assert images.dtype == torch.uint8
        assert torch.equal(images[:, 1, 5, 9], (50 * labels).byte())


def test_smaller_images_are_averages(archive):
    data = read(archive, "colours")
    images, labels = data.train
    images[0, 0, :2, :2] = torch.tensor([[0, 10], [20, 30]], dtype=torch.uint8)
    small = data.smaller(16, (6, None, 3))
    assert [len(labels) for _, labels in small.parts] == [6, 20, 3]
    assert small.train[0].shape == (6, 3, 16, 16)
    assert small.train[0][0, 0, 0, 0] == 15
    assert torch.equal(small.train[0][1:, 2, 3, 4], (50 * labels[1:6]).byte())


def test_cifar10_is_read_from_its_batches(cifar10):
    data = read(cifar10, CIFAR10)
    assert [len(labels) for _, labels in data.parts] == [90, 10, 30]
    assert data.classes == 10
    for images, labels in data.parts:
        assert images.shape[1:] == (3, 32, 32)
        assert images.dtype == torch.uint8
        assert torch.equal(images[:, 1, 5, 9], labels.byte())
        assert (images[:, 2] == 7).all()


def test_cifar100_is_read_by_its_fine_labels(cifar100):
    data = read(cifar100, "cifar-100-python")
    assert data.classes == 100
    assert torch.equal(data.test[0][:, 1, 0, 0], data.test[1].byte())
    assert sorted(data.validation[1].tolist()) == list(range(100))  # one of each class


def test_tinyimagenet_is_read_from_its_folders(tinyimagenet):
    data = read(tinyimagenet, "tiny-imagenet-200")
    assert [len(labels) for _, labels in data.parts] == [9, 3, 3]
    assert data.classes == 3
    for images, labels in data.parts:
        assert images.shape[1:] == (3, 64, 64)
        assert torch.allclose(images.float().mean((1, 2, 3)), 60.0 * labels, atol=2)


def test_the_split_is_the_same_at_every_call_and_apart(cifar10):
    first, second = (read(cifar10, CIFAR10) for _ in range(2))
    assert torch.equal(first.validation[0], second.validation[0])
    # Within a class, images of one number are equal in all five batches.
    assert torch.bincount(first.validation[1]).tolist() == [1] * 10
    assert torch.bincount(first.train[1]).tolist() == [9] * 10


def test_a_folder_gives_every_data_set_in_it(cifar10, cifar100, tinyimagenet):
    assert cifar10 == cifar100 == tinyimagenet
    assert set(data_sets_in(cifar10)) == {CIFAR10, "cifar-100-python", "tiny-imagenet-200"}


def test_the_folder_of_a_data_set_gives_it_alone(cifar10, tinyimagenet, monkeypatch):
    [(name, read_tiny)] = data_sets_in(tinyimagenet / "tiny-imagenet-200").items()
    assert name == "tiny-imagenet-200"
    assert len(read_tiny().train[1]) == 9
    monkeypatch.chdir(cifar10 / CIFAR10)
    [(name, read_cifar)] = data_sets_in(Path()).items()
    assert name == CIFAR10
    assert len(read_cifar().train[1]) == 90


def test_an_archive_of_cifar10_has_another_name_than_its_folder(archive, cifar10):
    """The files of results know data sets by their names, and these have other images."""
    archive = archive.rename(archive.with_stem("cifar10"))
    assert set(data_sets_in(archive)) == {"cifar10"}
    assert "cifar10" not in data_sets_in(cifar10)


def test_a_folder_without_data_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="cifar-10-batches-py"):
        data_sets_in(tmp_path)


def test_cifar10_is_found_beside_other_data_sets(cifar10, tinyimagenet):
    for folder in (cifar10, cifar10 / CIFAR10):
        images = read_cifar10(folder, train=50, validation=50, test=5)
        labels = [part[1] for part in (images.train, images.validation, images.test)]
        assert [len(each) for each in labels] == [50, 10, 5]
        assert images.shape == (3, 16, 16)
    with pytest.raises(FileNotFoundError, match="only tiny-imagenet-200"):
        cifar10_in(tinyimagenet / "tiny-imagenet-200")
