"""Text for a language model: the source code of Python's own standard library."""

from __future__ import annotations

import string
import sysconfig
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.images import Part

__all__ = ["VOCABULARY", "read_sources"]

CHARACTERS = string.printable
VOCABULARY = len(CHARACTERS) + 1  # the last one stands for every other character
SHARES = {"train": 0.8, "validation": 0.1, "test": 0.1}  # of the files


def read_sources(
    context: int, *, train: int, validation: int, test: int
) -> tuple[Part, Part, Part]:
    """Sequences of characters, and for each character the one that follows it.

    The modules at the top of the standard library are split by file, so that no file has text in
    two parts. The text depends on the version of Python; for one version it is always the same.

    Args:
        context: characters in a sequence.
        train: maximum number of sequences for training.
        validation: the same for validation.
        test: the same for the test.

    Returns:
        For each part the inputs and the labels, each int64 of shape (N, context).
    """
    files = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    order = np.random.default_rng(0).permutation(len(files))
    ends = np.cumsum([round(share * len(files)) for share in SHARES.values()])[:-1]
    parts = []
    for numbers, most in zip(np.split(order, ends), (train, validation, test), strict=True):
        text = "".join(files[number].read_text(encoding="utf-8") for number in numbers)
        parts.append(_sequences(_encoded(text), context, most))
    first, second, third = parts
    return first, second, third


def _encoded(text: str) -> Tensor:
    numbers = {character: number for number, character in enumerate(CHARACTERS)}
    return torch.tensor([numbers.get(character, len(CHARACTERS)) for character in text])


def _sequences(text: Tensor, context: int, most: int) -> Part:
    """Sequences that do not overlap and are spread evenly over the text."""
    n = (len(text) - 1) // context
    chosen = np.random.default_rng(0).permutation(n)[:most]
    starts = context * torch.from_numpy(chosen)
    inputs = starts[:, None] + torch.arange(context)
    return text[inputs], text[inputs + 1]
