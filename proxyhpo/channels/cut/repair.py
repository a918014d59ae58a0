"""Makes a selection of classes run: changes integers, or leaves groups unpruned.

Every attempt is rated by how many operators ran as predicted. An integer is changed, or a group
left unpruned, only if the run then gets past the operator at which it failed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from torch import nn

from proxyhpo._inputs import Inputs
from proxyhpo.channels.cut.arithmetic import in_arithmetic
from proxyhpo.channels.cut.mending import (
    Candidate,
    Edit,
    Kind,
    apply_edits,
    candidates,
    known_edits,
)
from proxyhpo.channels.cut.slicing import kept_indices, sliced
from proxyhpo.channels.cut.verify import Forecast, Outcome, follow
from proxyhpo.channels.find.clock import Clock
from proxyhpo.channels.find.groups import Group
from proxyhpo.channels.find.labels import Dim
from proxyhpo.channels.find.recorder import Step
from proxyhpo.channels.find.skeleton import owned_tensors
from proxyhpo.channels.find.trace import Trace

__all__ = ["Mended", "Repair", "Selection"]

Selection = Sequence[tuple[Group, Sequence[int]]]
"""Groups, and the classes of each that are kept."""


@dataclass(frozen=True)
class Mended:
    """A selection that was tried.

    Args:
        selection: groups, and the classes of each that are kept.
        edits: attributes of Python objects that were changed.
        outcome: how far it ran.
        taken: the candidates among the edits.
        forecast: the predicted sizes.
    """

    selection: Selection
    edits: Sequence[Edit]
    outcome: Outcome
    taken: Sequence[Candidate]
    forecast: Forecast


@dataclass
class Repair:
    """Makes a selection run. Groups are left unpruned if there is no other way.

    Args:
        network: the full network, unwrapped; it is not changed.
        inputs: a typical batch.
        found: its trace.
        clock: limits the time.
    """

    network: nn.Module
    inputs: Inputs
    found: Trace
    clock: Clock
    left_whole: list[tuple[Group, str]] = field(default_factory=list)
    """What could not be pruned, with reasons."""

    def __post_init__(self) -> None:
        self.working = self.found.setting.network(self.network)
        self._helped: list[Kind] = []

    def run(self, selection: Selection) -> Mended:
        """The largest part of a selection that runs. An empty selection always does."""
        mended = self._mend(selection)
        while mended.outcome.failure is not None and mended.selection:
            mended = self._leave_whole(mended)
        return self._calculating(mended) if mended.selection else mended

    def _calculating(self, mended: Mended) -> Mended:
        """Also changes the integers used in arithmetic, if everything still runs as predicted."""
        attempt = _Attempt(self, mended.selection)
        pool = candidates(self.working, _changes(self.found, attempt.forecast))
        for candidate in in_arithmetic(self.working, pool, mended.taken, self.found):
            tried = attempt.run([*mended.taken, candidate])
            if tried.outcome.failure is None:
                mended = tried
        return mended

    def _leave_whole(self, failed: Mended) -> Mended:
        """Leaves the group unpruned that causes the failure, or all that may cause it."""
        suspects = self._suspects(failed)
        for suspect in suspects:
            without = [pair for pair in failed.selection if pair[0] is not suspect]
            tried = self._mend(without, search=False)
            if tried.outcome.failure is None or tried.outcome.progress > failed.outcome.progress:
                self._note([suspect], failed)
                return self._mend(without)
        if suspects:
            self._note(suspects, failed)
            return self._mend([pair for pair in failed.selection if pair[0] not in suspects])
        return self._bisect(failed)

    def _suspects(self, failed: Mended) -> list[Group]:
        """The groups that occur where it failed; those in the operator's results first."""
        step = failed.outcome.step
        if step is None:
            return []
        found: list[Group] = []
        for tensors in (step.results, step.operands):
            dims = [dim for tensor in tensors for dim in tensor]
            for group, _ in failed.selection:
                roots = failed.forecast.roots_of(group, self.found)
                if group not in found and failed.forecast.touches(roots, dims):
                    found.append(group)
        return found

    def _bisect(self, failed: Mended) -> Mended:
        """Halves the selection until the groups that fail are found."""
        works: list[tuple[Group, Sequence[int]]] = []

        def add(some: Selection) -> None:
            tried = self._mend([*works, *some])
            if tried.outcome.failure is None:
                works.extend(some)
            elif len(some) == 1:
                self._note([some[0][0]], tried)
            else:
                add(some[: len(some) // 2])
                add(some[len(some) // 2 :])

        half = len(failed.selection) // 2
        for some in (failed.selection[:half], failed.selection[half:]):
            if some:
                add(some)
        return self._mend(works)

    def _note(self, groups: Sequence[Group], failed: Mended) -> None:
        self.left_whole.extend((group, str(failed.outcome.failure)) for group in groups)

    def _mend(self, selection: Selection, *, search: bool = True) -> Mended:
        """Tries a selection with torch's modules updated, then with candidates that help."""
        attempt = _Attempt(self, selection)
        best = attempt.run(())
        if best.outcome.failure is None:
            return best
        pool = candidates(self.working, _changes(self.found, attempt.forecast))
        helped = [c for kind in self._helped for c in pool if c.kind == kind]
        best = self._better(best, attempt, [helped]) or best
        while search and best.outcome.failure is not None:
            near = _near(pool, best)
            together = [c for c in near if _fits(c, best)]
            better = self._better(best, attempt, [*([c] for c in near), together])
            if better is None:
                break
            best = better
        if search:
            self._helped = [candidate.kind for candidate in best.taken]
        return best

    def _better(
        self, best: Mended, attempt: _Attempt, choices: Sequence[Sequence[Candidate]]
    ) -> Mended | None:
        """The first of these candidates with which it runs further, if there is one."""
        for some in choices:
            if some:
                tried = attempt.run([*best.taken, *some])
                if tried.outcome.failure is None or tried.outcome.progress > best.outcome.progress:
                    return tried
        return None


class _Attempt:
    """Runs one selection with different sets of edits."""

    def __init__(self, repair: Repair, selection: Selection) -> None:
        self.forecast = Forecast(repair.found, selection)
        self._repair, self._selection = repair, selection
        shapes = {name: [dim.size for dim in dims] for name, dims in repair.found.owned.items()}
        self._kept = kept_indices(selection, shapes)
        first = _first_inputs(repair.found)

        def size(name: str) -> Sequence[int] | None:
            return self.forecast.shape(first[name]) if name in first else None

        self._known = known_edits(self._smaller(), size)

    def run(self, taken: Sequence[Candidate]) -> Mended:
        edits = [*self._known, *(edit for candidate in taken for edit in candidate.edits)]
        repair = self._repair

        def make() -> nn.Module:
            network = self._smaller()
            apply_edits(network, edits)
            return network

        outcome = follow(make, repair.inputs, repair.found, self.forecast, repair.clock)
        return Mended(self._selection, edits, outcome, taken, self.forecast)

    def _smaller(self) -> nn.Module:
        working = self._repair.working
        return sliced(working, owned_tensors(working), self._kept)


def _near(pool: Sequence[Candidate], best: Mended) -> list[Candidate]:
    """The candidates in the modules that were running when it failed, innermost first.

    First come candidates that give the size expected at that very operator; last come those of the
    innermost module's children, since its code may use their attributes.
    """
    step = best.outcome.step
    if step is None:
        return []
    depth = {name: level for level, name in enumerate(step.modules, start=1)}

    def nearness(candidate: Candidate) -> tuple[bool, int, bool, int]:
        names = [name for name, _, _ in candidate.edits]
        level = max(depth.get(name, 0) for name in names)
        if not level and step.modules:
            level -= not any(_within(name, step.modules[-1]) for name in names)
        _, _, choice, alone = candidate.kind
        return _fits(candidate, best), level, alone is None, -choice

    near = [(nearness(c), place) for place, c in enumerate(pool) if c not in best.taken]
    return [pool[place] for (_, level, *_), place in sorted(near, reverse=True) if level >= 0]


def _fits(candidate: Candidate, best: Mended) -> bool:
    """Whether it is in a module that was running, and gives a size that is expected there."""
    step = best.outcome.step
    assert step is not None
    missing = {new for _, new in _resized(step, best.forecast)}
    running = step.modules[-1:]
    return any(name in running and size in missing for name, _, size in candidate.edits)


def _within(name: str, outer: str) -> bool:
    """Whether a module is a descendant of another."""
    inner = name.removeprefix(f"{outer}.") if outer else name
    return (inner != name or not outer) and inner.count(".") <= 1


def _first_inputs(found: Trace) -> dict[str, Sequence[Dim]]:
    """Module → the first tensor of more than one dimension that an operator in it received."""
    seen: dict[str, Sequence[Dim]] = {}
    for steps in found.steps.values():
        for step in steps:
            name = step.modules[-1] if step.modules else ""
            if name not in seen:
                seen.update((name, dims) for dims in step.operands[:1] if len(dims) > 1)
    return seen


def _changes(found: Trace, forecast: Forecast) -> Mapping[str, Mapping[int, Sequence[int]]]:
    """Module → old size → its new sizes there; those of the module's own operators first."""
    counts: dict[str, Counter[tuple[int, int]]] = {}
    for steps in found.steps.values():
        for step in steps:
            changes = Counter(_resized(step, forecast))
            for name in step.modules:
                weight = 1000 if name == step.modules[-1] else 1
                own = counts.setdefault(name, Counter())
                for change, times in changes.items():
                    own[change] += weight * times
    ordered: dict[str, dict[int, list[int]]] = {}
    for name, own in counts.items():
        sizes = ordered.setdefault(name, {})
        for (old, new), _ in own.most_common():
            sizes.setdefault(old, []).append(new)
    return ordered


def _resized(step: Step, forecast: Forecast) -> list[tuple[int, int]]:
    """(old, new) size of every dimension of an operator that changes."""
    dims = [dim for tensor in (*step.operands, *step.results) for dim in tensor]
    if step.operator == "aten::constant_pad_nd":
        for before, after in zip(step.operands[0], step.results[0], strict=True):
            inside = np.flatnonzero(np.isin(after, before))
            if 0 < inside.size < after.size:
                dims.extend([after[: inside[0]], after[inside[-1] + 1 :]])
    sizes = [(dim.size, forecast.size(dim)) for dim in dims]
    return [(old, new) for old, new in sizes if old != new]
