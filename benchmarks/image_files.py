"""Data sets of small images, read from an archive or from the files that they are distributed in.

A path is one of

- an ``.npz`` file with ``train_images`` (uint8, (N, 3, H, W)), ``train_labels``, and the same for
  ``val`` and ``test``;
- a folder ``cifar-10-batches-py``, ``cifar-100-python`` or ``tiny-imagenet-200``, as torchvision
  and ``tiny-imagenet-200.zip`` unpack them, or a folder that contains some of these.

The name of a data set is that of its file, without the ending, or of its folder. An archive and the
distributed files may contain different images; with different names, their results are kept apart.

The distributed files have no validation images, so a tenth of the training images of each class is
held out. The test images of TinyImageNet have no labels, so its validation images are the test set.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["ImageData", "Part", "cifar10_in", "data_sets_in"]

Labels = npt.NDArray[np.int64]
Part = tuple[Tensor, Tensor]
"""Images of shape (N, 3, H, W), uint8, and labels of shape (N,), int64."""

_HELD_OUT = 0.1  # of the training images, for validation


@dataclass(frozen=True)
class ImageData:
    """A data set in three parts.

    Args:
        train: to train on.
        validation: to select configs by.
        test: to judge the selected configs by.
        classes: how many there are.
    """

    train: Part
    validation: Part
    test: Part
    classes: int

    @property
    def parts(self) -> tuple[Part, Part, Part]:
        """Train, validation and test."""
        return self.train, self.validation, self.test

    def to(self, device: torch.device) -> ImageData:
        """The same on another device."""
        train, validation, test = (
            (images.to(device), labels.to(device)) for images, labels in self.parts
        )
        return ImageData(train, validation, test, self.classes)

    def smaller(self, side: int | None, most: Sequence[int | None]) -> ImageData:
        """The first images of each part, averaged down to ``side`` x ``side`` pixels.

        Args:
            side: must divide the side of the images; None keeps it.
            most: how many images of each part; None keeps all.
        """
        train, validation, test = (
            (_averaged(images[:count], side), labels[:count])
            for (images, labels), count in zip(self.parts, most, strict=True)
        )
        return ImageData(train, validation, test, self.classes)


def data_sets_in(path: Path) -> Mapping[str, Callable[[], ImageData]]:
    """Name → function that reads it, for each data set at a path. The split is always the same.

    Raises:
        FileNotFoundError: if there is none.
    """
    if path.is_file():
        return {path.stem: partial(_from_archive, path)}
    folders = [path.absolute(), *(path / name for name in _FOLDERS)]
    found = {
        folder.name: partial(_FOLDERS[folder.name], folder)
        for folder in folders
        if folder.name in _FOLDERS and folder.is_dir()
    }
    if not found:
        names = ", ".join(_FOLDERS)
        raise FileNotFoundError(
            f"{path} is neither an .npz file, nor one of the folders {names}, nor a folder with "
            "one of them in it"
        )
    return found


def cifar10_in(path: Path) -> ImageData:
    """CIFAR-10 in a folder, or the data set of an archive.

    Raises:
        FileNotFoundError: if there is none.
    """
    sets = data_sets_in(path)
    name = path.stem if path.is_file() else "cifar-10-batches-py"
    if name not in sets:
        raise FileNotFoundError(f"{path} has no folder {name}, only {', '.join(sets)}")
    return sets[name]()


def _averaged(images: Tensor, side: int | None) -> Tensor:
    if side is None or images.shape[-1] == side:
        return images
    pooled = F.avg_pool2d(images.float(), images.shape[-1] // side)
    return pooled.round().to(torch.uint8)


def _from_archive(path: Path) -> ImageData:
    with np.load(path) as arrays:
        train, validation, test = (
            (
                torch.from_numpy(arrays[f"{name}_images"]),
                torch.from_numpy(arrays[f"{name}_labels"].astype(np.int64)),
            )
            for name in ("train", "val", "test")
        )
    return ImageData(train, validation, test, classes=int(train[1].max()) + 1)


@dataclass(frozen=True)
class _Files:
    """One part of the distributed files. Only the images that are needed are read.

    Args:
        labels: of all its images.
        read: images of the given numbers, as a uint8 tensor of shape (n, 3, H, W).
    """

    labels: Labels
    read: Callable[[Labels], Tensor]

    def part(self, numbers: Labels) -> Part:
        return self.read(numbers), torch.from_numpy(self.labels[numbers])


def _held_out(train: _Files, test: _Files) -> ImageData:
    """Makes three parts of the two distributed ones, each in a random order."""
    rng = np.random.default_rng(0)
    order = rng.permutation(len(train.labels))
    is_held_out = np.zeros(len(order), dtype=bool)
    for label in np.unique(train.labels):
        members = order[train.labels[order] == label]
        is_held_out[members[: max(1, round(_HELD_OUT * len(members)))]] = True
    return ImageData(
        train.part(order[~is_held_out[order]]),
        train.part(order[is_held_out[order]]),
        test.part(rng.permutation(len(test.labels))),
        classes=int(train.labels.max()) + 1,
    )


def _cifar(kind: str, folder: Path) -> ImageData:
    from torchvision import datasets  # noqa: PLC0415 - slow to import

    sets = [getattr(datasets, kind)(folder.parent, train=train) for train in (True, False)]
    train, test = (_Files(np.array(s.targets, np.int64), _taken_from(s.data)) for s in sets)
    return _held_out(train, test)


def _taken_from(images: npt.NDArray[np.uint8]) -> Callable[[Labels], Tensor]:
    return lambda numbers: _channels_first(images[numbers])


def _channels_first(images: npt.NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()


def _tiny(root: Path) -> ImageData:
    names = sorted(path.name for path in (root / "train").iterdir() if path.is_dir())
    training = [
        (path, label)
        for label, name in enumerate(names)
        for path in sorted((root / "train" / name / "images").glob("*.JPEG"))
    ]
    annotations = (root / "val" / "val_annotations.txt").read_text().splitlines()
    lines = [line.split("\t") for line in annotations if line]
    testing = [(root / "val" / "images" / line[0], names.index(line[1])) for line in lines]
    return _held_out(_jpegs(training), _jpegs(testing))


def _jpegs(files: Sequence[tuple[Path, int]]) -> _Files:
    from torchvision.datasets.folder import pil_loader  # noqa: PLC0415 - slow to import

    paths, labels = zip(*files, strict=True)

    def read(numbers: Labels) -> Tensor:  # in three channels; some of the files are grey
        return _channels_first(np.stack([np.asarray(pil_loader(paths[n])) for n in numbers]))

    return _Files(np.array(labels, np.int64), read)


_FOLDERS: dict[str, Callable[[Path], ImageData]] = {
    "cifar-10-batches-py": partial(_cifar, "CIFAR10"),
    "cifar-100-python": partial(_cifar, "CIFAR100"),
    "tiny-imagenet-200": _tiny,
}
