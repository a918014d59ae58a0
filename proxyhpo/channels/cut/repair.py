"""Makes a selection of classes run: changes integers, or leaves groups unpruned.

Every attempt is rated by how many operators ran as predicted. An integer is changed, or a group
left unpruned, only if the run then gets past the operator at which it failed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import nn

from proxyhpo._inputs import Inputs
from proxyhpo.channels.cut.arithmetic import in_arithmetic
from proxyhpo.channels.cut.mending import (
    Candidate,
    CandidateId,
    Edit,
    apply_edits,
    candidates,
    known_edits,
)
from proxyhpo.channels.cut.nearness import changes, first_inputs, near
from proxyhpo.channels.cut.slicing import kept_indices, sliced
from proxyhpo.channels.cut.verify import Comparison, Forecast, follow
from proxyhpo.channels.find.clock import Clock
from proxyhpo.channels.find.groups import Group
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
        comparison: how far it ran.
        taken: the candidates among the edits.
        forecast: the predicted sizes.
    """

    selection: Selection
    edits: Sequence[Edit]
    comparison: Comparison
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
        self._helped: list[CandidateId] = []

    def run(self, selection: Selection) -> Mended:
        """The largest part of a selection that runs. An empty selection always does."""
        mended = self._mend(selection)
        while mended.comparison.failure is not None and mended.selection:
            mended = self._leave_whole(mended)
        return self._calculating(mended) if mended.selection else mended

    def _calculating(self, mended: Mended) -> Mended:
        """Also changes the integers used in arithmetic, if everything still runs as predicted."""
        attempt = _Attempt(self, mended.selection)
        pool = candidates(self.working, changes(self.found, attempt.forecast))
        calculating = list(in_arithmetic(self.working, pool, mended.taken, self.found))
        if len(calculating) > 1:  # usually all of them are right
            tried = attempt.run([*mended.taken, *calculating])
            if tried.comparison.failure is None:
                return tried
        for candidate in calculating:
            tried = attempt.run([*mended.taken, candidate])
            if tried.comparison.failure is None:
                mended = tried
        return mended

    def _leave_whole(self, failed: Mended) -> Mended:
        """Leaves the group unpruned that causes the failure, or all that may cause it."""
        suspects = self._suspects(failed)
        for suspect in suspects:
            without = [pair for pair in failed.selection if pair[0] is not suspect]
            tried = self._mend(without, search=False)
            if (
                tried.comparison.failure is None
                or tried.comparison.progress > failed.comparison.progress
            ):
                self._note([suspect], failed)
                return self._mend(without)
        if suspects:
            self._note(suspects, failed)
            return self._mend([pair for pair in failed.selection if pair[0] not in suspects])
        return self._bisect(failed)

    def _suspects(self, failed: Mended) -> list[Group]:
        """The groups that occur where it failed; those in the operator's results first."""
        operation = failed.comparison.operation
        if operation is None:
            return []
        found: list[Group] = []
        for tensors in (operation.results, operation.operands):
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
            if tried.comparison.failure is None:
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
        reason = str(failed.comparison.failure)
        if self.found.reads_values:
            reason += _READS_VALUES
        self.left_whole.extend((group, reason) for group in groups)

    def _mend(self, selection: Selection, *, search: bool = True) -> Mended:
        """Tries a selection with torch's modules updated, then with candidates that help."""
        attempt = _Attempt(self, selection)
        best = attempt.run(())
        if best.comparison.failure is None:
            return best
        pool = candidates(self.working, changes(self.found, attempt.forecast))
        helped = [c for each in self._helped for c in pool if c.id == each]
        best = self._better(best, attempt, [helped]) or best
        while search and best.comparison.failure is not None:
            if (operation := best.comparison.operation) is None:
                break
            fitting, others = near(
                [c for c in pool if c not in best.taken], operation, best.forecast
            )
            better = self._better(best, attempt, [[c] for c in fitting])
            if better is None and (together := self._better(best, attempt, [fitting])):
                better = self._needed(together, best, attempt)
            better = better or self._better(best, attempt, [[c] for c in others])
            if better is None:
                break
            best = better
        if search:
            self._helped = [candidate.id for candidate in best.taken]
        return best

    def _needed(self, together: Mended, before: Mended, attempt: _Attempt) -> Mended:
        """Without those of several candidates that only happen to equal a size."""
        best = together
        for candidate in together.taken[len(before.taken) :]:
            tried = attempt.run([c for c in best.taken if c is not candidate])
            if tried.comparison.progress >= best.comparison.progress:
                best = tried
        return best

    def _better(
        self, best: Mended, attempt: _Attempt, choices: Sequence[Sequence[Candidate]]
    ) -> Mended | None:
        """The first of these candidates with which it runs further, if there is one."""
        for some in choices:
            if some:
                tried = attempt.run([*best.taken, *some])
                if (
                    tried.comparison.failure is None
                    or tried.comparison.progress > best.comparison.progress
                ):
                    return tried
        return None


_READS_VALUES = (
    "; the forward pass reads values of tensors, such as the condition of a loop, so a smaller "
    "network may run other operators"
)


class _Attempt:
    """Runs one selection with different sets of edits."""

    def __init__(self, repair: Repair, selection: Selection) -> None:
        self.forecast = Forecast(repair.found, selection)
        self._repair, self._selection = repair, selection
        shapes = {name: [dim.size for dim in dims] for name, dims in repair.found.owned.items()}
        self._kept = kept_indices(selection, shapes)
        first = first_inputs(repair.found)

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

        comparison = follow(make, repair.inputs, repair.found, self.forecast, repair.clock)
        return Mended(self._selection, edits, comparison, taken, self.forecast)

    def _smaller(self) -> nn.Module:
        working = self._repair.working
        return sliced(working, owned_tensors(working), self._kept)
