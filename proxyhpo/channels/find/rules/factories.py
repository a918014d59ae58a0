"""Operators that create tensors, whose sizes come from Python."""

from __future__ import annotations

from collections.abc import Sequence

from proxyhpo.channels.find.rules import Call, Dim, Labels, fixed, rule


def unmet(labels: Labels, shape: Sequence[int]) -> list[Dim]:
    """New labels, joined with whatever they meet; the sizes are updated by mending."""
    return [labels.new(size, solid=False) if size > 1 else fixed([size])[0] for size in shape]


@rule(
    "empty", "zeros", "ones", "full", "arange", "rand", "randn", "randint", "randperm", "eye",
    "linspace", "logspace", "scalar_tensor", "new_empty", "new_zeros", "new_ones", "new_full",
    "tril_indices", "triu_indices", "empty_strided", "new_empty_strided", "bartlett_window",
    "hann_window", "hamming_window", "blackman_window",
)  # fmt: skip
def made(labels: Labels, call: Call) -> list[Dim]:
    """See :func:`unmet`. These may still have tensors as arguments, ``out`` or ``self``."""
    return unmet(labels, call.result.shape)


@rule(
    "empty_like", "zeros_like", "ones_like", "full_like", "rand_like", "randn_like", "randint_like",
)  # fmt: skip
def like(_: Labels, call: Call) -> list[Dim]:
    """The sizes of another tensor."""
    return call.dims("self")
