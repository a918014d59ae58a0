"""Which integers may cause a failure: those that equal sizes that changed near it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from proxyhpo.channels.cut.mending import Candidate
from proxyhpo.channels.cut.verify import Forecast
from proxyhpo.channels.find.labels import Dim
from proxyhpo.channels.find.recorder import Operation
from proxyhpo.channels.find.trace import Trace

__all__ = ["changes", "first_inputs", "near"]


def near(
    pool: Sequence[Candidate], operation: Operation, forecast: Forecast
) -> tuple[list[Candidate], list[Candidate]]:
    """The candidates in the modules that were running at an operator, most likely first.

    Those of the innermost modules come first, and those of the innermost module's children last,
    since its code may use their attributes.

    Returns:
        Those that give the size expected at that very operator, and the others.
    """
    depth = {name: level for level, name in enumerate(operation.modules, start=1)}
    missing = {new for _, new in _resized(operation, forecast)}

    def level(candidate: Candidate) -> int:
        names = [name for name, _, _ in candidate.edits]
        innermost = max(depth.get(name, 0) for name in names)
        if innermost or not operation.modules:
            return innermost
        return -1 if not any(_within(name, operation.modules[-1]) for name in names) else 0

    def nearness(candidate: Candidate) -> tuple[int, bool, int]:
        _, _, choice, alone = candidate.id
        return level(candidate), alone is None, -choice

    found = [(nearness(candidate), place) for place, candidate in enumerate(pool)]
    ordered = [pool[place] for (at, *_), place in sorted(found, reverse=True) if at >= 0]
    running = operation.modules[-1:]
    fits = [
        any(name in running and size in missing for name, _, size in candidate.edits)
        for candidate in ordered
    ]
    return (
        [candidate for candidate, fit in zip(ordered, fits, strict=True) if fit],
        [candidate for candidate, fit in zip(ordered, fits, strict=True) if not fit],
    )


def _within(name: str, outer: str) -> bool:
    """Whether a module is a descendant of another."""
    inner = name.removeprefix(f"{outer}.") if outer else name
    return (inner != name or not outer) and inner.count(".") <= 1


def first_inputs(found: Trace) -> dict[str, Sequence[Dim]]:
    """Module → the first tensor of more than one dimension that an operator in it received."""
    seen: dict[str, Sequence[Dim]] = {}
    for operations in found.operations.values():
        for operation in operations:
            name = operation.modules[-1] if operation.modules else ""
            if name not in seen:
                seen.update((name, dims) for dims in operation.operands[:1] if len(dims) > 1)
    return seen


def changes(found: Trace, forecast: Forecast) -> Mapping[str, Mapping[int, Sequence[int]]]:
    """Module → old size → its new sizes there; those of the module's own operators first."""
    counts: dict[str, Counter[tuple[int, int]]] = {}
    for operations in found.operations.values():
        for operation in operations:
            changes = Counter(_resized(operation, forecast))
            for name in operation.modules:
                weight = 1000 if name == operation.modules[-1] else 1
                own = counts.setdefault(name, Counter())
                for change, times in changes.items():
                    own[change] += weight * times
    ordered: dict[str, dict[int, list[int]]] = {}
    for name, own in counts.items():
        sizes = ordered.setdefault(name, {})
        for (old, new), _ in own.most_common():
            sizes.setdefault(old, []).append(new)
    return ordered


def _resized(operation: Operation, forecast: Forecast) -> list[tuple[int, int]]:
    """(old, new) size of every dimension of an operator that changes."""
    dims = [dim for tensor in (*operation.operands, *operation.results) for dim in tensor]
    if operation.operator == "aten::constant_pad_nd":
        for before, after in zip(operation.operands[0], operation.results[0], strict=True):
            inside = np.flatnonzero(np.isin(after, before))
            if 0 < inside.size < after.size:
                dims.extend([after[: inside[0]], after[inside[-1] + 1 :]])
    sizes = [(dim.size, forecast.size(dim)) for dim in dims]
    return [(old, new) for old, new in sizes if old != new]
