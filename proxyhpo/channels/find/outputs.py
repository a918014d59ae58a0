"""Which outputs of a network must keep their size.

Training compares outputs with targets, so their sizes are given. This applies to a loss, to logits
and to every other head. It does not apply to intermediate results that are returned as well, such
as hidden states, attention maps and caches of keys and values. These may be narrower in a smaller
network. A network that computes its loss itself is trained on that loss, so none of its other
outputs except logits must keep its size.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from proxyhpo.errors import unknown_name

__all__ = ["Ancestry", "kept_outputs"]

_LOSS = "loss"
_TRAINED = (_LOSS, "logits")

_SEEN = {
    f"aten::{name}"
    for names in (
        ("alias", "detach", "clone", "view", "_unsafe_view", "reshape", "contiguous", "_to_copy"),
        ("transpose", "t", "permute", "unsqueeze", "squeeze", "expand"),
    )
    for name in names
}
"""Operators whose result is a view or copy of their operand."""


class Ancestry:
    """Which tensors were computed from which."""

    def __init__(self) -> None:
        self._operands: dict[int, set[int]] = {}
        self._seen_of: dict[int, int] = {}

    def note(self, out: Tensor, operator: str, operands: Sequence[Tensor]) -> None:
        """Records that an operator computed a tensor from others, or wrote to it."""
        self._operands.setdefault(id(out), set()).update(map(id, operands))
        if operator in _SEEN and operands and operands[0] is not out:
            self._seen_of[id(out)] = id(operands[0])

    def of(self, tensors: Sequence[Tensor]) -> set[int]:
        """The ids of all tensors from which these were computed, excluding themselves."""
        found: set[int] = set()
        pending = [id(tensor) for tensor in tensors]
        while pending:
            new = self._operands.get(pending.pop(), set()) - found
            found |= new
            pending.extend(new)
        return found - {id(tensor) for tensor in tensors}

    def whole(self, tensor: Tensor) -> set[int]:
        """The ids of a tensor and of all tensors of which it is a view or a copy."""
        found = {id(tensor)}
        at = id(tensor)
        while at in self._seen_of and self._seen_of[at] not in found:
            at = self._seen_of[at]
            found.add(at)
        return found


def kept_outputs(
    named: Sequence[tuple[str, Tensor]], ancestry: Ancestry, asked: Sequence[str] | None
) -> list[Tensor]:
    """The outputs that keep their sizes.

    Args:
        named: all outputs, in order.
        ancestry: what they were computed from.
        asked: names of outputs that training uses: a key, a field or an index, or a longer name
            such as ``"states.0"``. If None: ``loss`` and ``logits`` if they exist, or else the
            first output; and, if there is no loss, all outputs from which no other output is
            computed.

    Raises:
        UnknownNameError: for a name that no output has.
    """
    if asked is not None:
        for name in asked:
            if not any(_is(name, output) for output, _ in named):
                raise unknown_name("output in outputs", name, {output for output, _ in named})
        return [tensor for output, tensor in named if any(_is(name, output) for name in asked)]
    first = [t for output, t in named if output.partition(".")[0] in _TRAINED] or [named[0][1]]
    if any(_is(_LOSS, output) and tensor.numel() == 1 for output, tensor in named):
        return first
    inner = ancestry.of(first)
    kept = {id(tensor) for tensor in first}
    return [t for _, t in named if id(t) in kept or not (ancestry.whole(t) & inner)]


def _is(name: str, output: str) -> bool:
    return output == name or output.startswith(f"{name}.")
