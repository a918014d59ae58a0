"""Example inputs: a tensor, a tuple for positional inputs, or a mapping for keyword inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from proxyhpo.errors import ArgumentError

__all__ = [
    "Arguments",
    "Inputs",
    "at_least_two",
    "call",
    "check_inputs",
    "map_tensors",
    "with_batch",
]

Inputs = Tensor | tuple[Any, ...] | Mapping[str, Any]
"""A typical batch; the first dimension of every tensor in it is the batch."""


class Arguments(NamedTuple):
    """Inputs of a call that may have both positional and keyword arguments."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]


def check_inputs(inputs: object) -> Inputs:
    """The same inputs, if a network can be called with them.

    Raises:
        ArgumentError: names ``example_inputs``, if they are of another kind or contain no tensor.
    """
    if not isinstance(inputs, (Tensor, tuple, Mapping)):
        raise ArgumentError(
            "example_inputs must be a tensor, a tuple of positional inputs or a mapping of "
            f"keyword inputs, got {type(inputs).__name__}"
        )
    _refuse_packed(inputs)
    found: list[Tensor] = []

    def note(tensor: Tensor) -> Tensor:
        found.append(tensor)
        return tensor

    map_tensors(note, inputs)
    if not found:
        raise ArgumentError("example_inputs must contain a tensor")
    for tensor in found:
        if tensor.is_nested or tensor.layout != torch.strided:
            raise ArgumentError(
                f"example_inputs contains a {'nested' if tensor.is_nested else 'sparse'} tensor "
                f"({tensor.layout}), which cannot be split into examples: pass a dense tensor, and "
                "convert it in forward; or register it as a buffer, such as the adjacency of a "
                "graph"
            )
    if any(tensor.ndim == 0 or tensor.shape[0] == 0 for tensor in found):
        raise ArgumentError(
            "example_inputs must be a batch of at least one example, with the examples along "
            f"dimension 0 of each tensor, got shapes {[tuple(tensor.shape) for tensor in found]}"
        )
    return inputs


def _refuse_packed(structure: object) -> None:
    if isinstance(structure, PackedSequence):
        raise ArgumentError(
            "example_inputs contains a PackedSequence, which has no dimension of examples: pass "
            "padded sequences and their lengths, and call pack_padded_sequence in forward"
        )
    if isinstance(structure, (tuple, list)):
        for part in structure:
            _refuse_packed(part)
    elif isinstance(structure, Mapping):
        for part in structure.values():
            _refuse_packed(part)


def call(network: nn.Module, inputs: Inputs) -> Any:
    """Runs the network on the inputs: a tuple is unpacked, a mapping becomes keywords."""
    if isinstance(inputs, Arguments):
        return network(*inputs.args, **inputs.kwargs)
    if isinstance(inputs, Tensor):
        return network(inputs)
    if isinstance(inputs, Mapping):
        return network(**inputs)
    return network(*inputs)


def map_tensors(function: Callable[[Tensor], Tensor], structure: Any) -> Any:
    """The same nested tuples, lists and mappings, with ``function`` applied to all tensors."""
    if isinstance(structure, Tensor):
        return function(structure)
    if isinstance(structure, Mapping):
        return {key: map_tensors(function, value) for key, value in structure.items()}
    if isinstance(structure, tuple) and hasattr(structure, "_fields"):  # a named tuple
        return type(structure)(*(map_tensors(function, value) for value in structure))
    if isinstance(structure, (tuple, list)):
        return type(structure)(map_tensors(function, value) for value in structure)
    return structure


def with_batch(inputs: Inputs, size: int) -> Any:
    """The inputs, cut or repeated to ``size`` examples.

    >>> with_batch(torch.zeros(3, 5), 7).shape
    torch.Size([7, 5])
    """

    def resize(tensor: Tensor) -> Tensor:
        repeats = -(-size // tensor.shape[0])
        return torch.tile(tensor, (repeats, *[1] * (tensor.ndim - 1)))[:size]

    return map_tensors(resize, inputs)


def at_least_two(inputs: Inputs) -> Any:
    """The inputs; a single example is repeated, since batch normalisation cannot train on it.

    >>> at_least_two(torch.zeros(1, 5)).shape, at_least_two(torch.zeros(3, 5)).shape
    (torch.Size([2, 5]), torch.Size([3, 5]))
    """
    sizes: set[int] = set()

    def note(tensor: Tensor) -> Tensor:
        sizes.add(tensor.shape[0])
        return tensor

    map_tensors(note, inputs)
    return with_batch(inputs, 2) if sizes == {1} else inputs
