"""The paper's data sets, read from the files that they are distributed in.

CIFAR10 and CIFAR100 are read (and downloaded, if wanted) by torchvision. TinyImageNet is read from
the folders that ``tiny-imagenet-200.zip`` unpacks to; its test images have no labels, so that its
validation images are what is tested on. A tenth of the training images of each class is held out
for validation: searches select by these.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torchvision.datasets import CIFAR10, CIFAR100
from torchvision.datasets.folder import pil_loader

from proxyhpo.errors import unknown_name

__all__ = ["DATA_SETS", "ImageData", "Part", "load"]

Labels = npt.NDArray[np.int64]
Part = tuple[Tensor, Tensor]
"""Images of shape (N, 3, H, W), uint8, and labels of shape (N,), int64."""

_HELD_OUT = 0.1  # of the training images, for validation
_TINY = "tiny-imagenet-200"
_TINY_URL = "http://cs231n.stanford.edu/tiny-imagenet-200.zip"


@dataclass(frozen=True)
class ImageData:
    """A data set in three parts.

    Args:
        train: to train on.
        validation: to select by.
        test: to look at once, when everything has been decided.
        classes: how many there are.
    """

    train: Part
    validation: Part
    test: Part
    classes: int

    def to(self, device: torch.device) -> ImageData:
        """The same on another device."""
        train, validation, test = (
            (images.to(device), labels.to(device))
            for images, labels in (self.train, self.validation, self.test)
        )
        return ImageData(train, validation, test, self.classes)


@dataclass(frozen=True)
class _Files:
    """One part of what is distributed; images are only read once it is known which.

    Args:
        labels: of all its images.
        read: images of the given numbers, as a uint8 tensor of shape (n, 3, H, W).
    """

    labels: Labels
    read: Callable[[Labels], Tensor]

    def part(self, numbers: Labels) -> Part:
        return self.read(numbers), torch.from_numpy(self.labels[numbers])


def load(
    name: str, folder: Path, *, examples: int | None = None, download: bool = False
) -> ImageData:
    """A data set; the same split at every call.

    Args:
        name: one of ``DATA_SETS``.
        folder: that holds (or is to hold) the data set's own folder.
        examples: of each part at most so many, for a quick look.
        download: if it is not there; CIFAR only.

    Raises:
        UnknownNameError: for another name.
        FileNotFoundError: if TinyImageNet is not there, saying where it is to be had.
        RuntimeError: by torchvision, if CIFAR is not there or damaged.
    """
    if name not in DATA_SETS:
        raise unknown_name("data set", name, DATA_SETS)
    train, test = DATA_SETS[name](folder, download)
    rng = np.random.default_rng(0)
    validation, rest = _split(train.labels, rng)
    everything = np.arange(len(test.labels))
    chosen = [_some(numbers, examples, rng) for numbers in (rest, validation, everything)]
    return ImageData(
        train.part(chosen[0]),
        train.part(chosen[1]),
        test.part(chosen[2]),
        classes=int(train.labels.max()) + 1,
    )


def _split(labels: Labels, rng: np.random.Generator) -> tuple[Labels, Labels]:
    """The numbers of a tenth of each class, at least one of it, and of the rest; shuffled."""
    order = rng.permutation(len(labels))
    held_out = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        members = order[labels[order] == label]
        held_out[members[: max(1, round(_HELD_OUT * len(members)))]] = True
    return order[held_out[order]], order[~held_out[order]]


def _some(numbers: Labels, most: int | None, rng: np.random.Generator) -> Labels:
    return numbers if most is None else rng.permutation(numbers)[:most]


def _cifar(kind: type[CIFAR10]) -> Callable[[Path, bool], tuple[_Files, _Files]]:
    def files(folder: Path, download: bool) -> tuple[_Files, _Files]:  # noqa: FBT001 - private
        sets = [kind(folder, train=train, download=download) for train in (True, False)]
        train, test = (_Files(np.array(s.targets, np.int64), _taken_from(s.data)) for s in sets)
        return train, test

    return files


def _taken_from(images: npt.NDArray[np.uint8]) -> Callable[[Labels], Tensor]:
    return lambda numbers: _channels_first(images[numbers])


def _channels_first(images: npt.NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()


def _tiny(folder: Path, download: bool) -> tuple[_Files, _Files]:  # noqa: FBT001 - private
    root = folder / _TINY
    annotations = root / "val" / "val_annotations.txt"
    if not annotations.exists():
        hint = "it is not downloaded by this command: " if download else ""
        raise FileNotFoundError(f"no {annotations}; {hint}unpack {_TINY_URL} in {folder}")
    names = sorted(path.name for path in (root / "train").iterdir() if path.is_dir())
    training = [
        (path, label)
        for label, name in enumerate(names)
        for path in sorted((root / "train" / name / "images").glob("*.JPEG"))
    ]
    lines = [line.split("\t") for line in annotations.read_text().splitlines() if line]
    testing = [(root / "val" / "images" / line[0], names.index(line[1])) for line in lines]
    return _jpegs(training), _jpegs(testing)


def _jpegs(files: Sequence[tuple[Path, int]]) -> _Files:
    paths, labels = zip(*files, strict=True)

    def read(numbers: Labels) -> Tensor:  # in three channels; some of the files are grey
        return _channels_first(np.stack([np.asarray(pil_loader(paths[n])) for n in numbers]))

    return _Files(np.array(labels, np.int64), read)


DATA_SETS: dict[str, Callable[[Path, bool], tuple[_Files, _Files]]] = {
    "cifar10": _cifar(CIFAR10),
    "cifar100": _cifar(CIFAR100),
    "tinyimagenet": _tiny,
}
"""Name → what gives the files to train on and the files to test on."""
