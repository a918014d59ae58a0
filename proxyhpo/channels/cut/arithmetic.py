"""Integers that are only used in arithmetic, such as ``self.d`` in ``scores / self.d ** 0.5``.

They affect no shape, so a run with their old values does not fail. The narrower network would
silently compute with the width of the full one.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence

from torch import nn

from proxyhpo.channels.cut.mending import Candidate, integers
from proxyhpo.channels.find.trace import Trace

__all__ = ["in_arithmetic"]


def in_arithmetic(
    network: nn.Module, pool: Sequence[Candidate], taken: Collection[Candidate], found: Trace
) -> Iterator[Candidate]:
    """The candidates whose old value, or a common function of it, is used in arithmetic.

    Args:
        network: the full network, or a copy that has its integers.
        pool: every integer attribute that equals a size that changed.
        taken: the ones that are already changed.
        found: the trace of the full network.
    """
    numbers: dict[str, set[float]] = {}
    for operations in found.operations.values():
        for operation in operations:
            for name in operation.modules if operation.scalars else ():
                numbers.setdefault(name, set()).update(operation.scalars)
    settled = {(name, path) for candidate in taken for name, path, _ in candidate.edits}
    for candidate in pool:
        new = [
            (name, path)
            for name, path, _ in candidate.edits
            if (name, path) not in settled and not _is_torchs(network.get_submodule(name))
        ]
        if any(
            math.isclose(function, number, rel_tol=1e-6)
            for name, path in new
            for function in _functions(dict(integers(network.get_submodule(name)))[path])
            for number in numbers.get(name, ())
        ):
            settled.update(new)
            yield candidate


def _is_torchs(module: nn.Module) -> bool:
    """Whether it is one of torch's module types, whose attributes follow from its tensors."""
    return type(module).__module__.startswith("torch.")


def _functions(size: int) -> tuple[float, ...]:
    """Functions of a width that code commonly multiplies, divides or adds."""
    if size < 2:
        return (float(size),)
    roots = (size, size**0.5, size**0.25, math.log(size))
    return (*roots, *(1 / root for root in roots), 2 / size)
