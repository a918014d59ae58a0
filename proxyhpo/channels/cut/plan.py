"""How networks of one structure are made smaller: what a trace has found, as plain data."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from proxyhpo._inputs import Inputs
from proxyhpo.channels.cut.mending import Edit
from proxyhpo.channels.cut.repair import Mended, Repair, Selection
from proxyhpo.channels.cut.slicing import rounded
from proxyhpo.channels.find.forward import Clock, TimeLimitError
from proxyhpo.channels.find.groups import Group, groups_of, protected_of
from proxyhpo.channels.find.labels import NATURAL
from proxyhpo.channels.find.trace import Setting, Trace, trace
from proxyhpo.errors import UnsupportedNetworkError

__all__ = ["SECONDS", "Plan", "counts", "plan", "traced"]

SECONDS = 60.0
"""After so long a network that cannot be traced, or mended, is given up."""


@dataclass(frozen=True)
class Plan:
    """How networks of one structure are made smaller.

    Args:
        selection: groups, and some classes of each that can stay: any other as many do as well.
        edits: what Python has to remember.
        skipped: what is left whole, as (name, reason).
        contracted: parameter → the dimensions that its products sum over, none for a bias.
        setting: how the network can be run.
        flops: of the smaller network and of the full one, in train mode.
    """

    selection: Selection
    edits: Sequence[Edit]
    skipped: Sequence[tuple[str, str]]
    contracted: Mapping[str, tuple[int, ...]]
    setting: Setting
    flops: tuple[int, int]


def traced(network: nn.Module, inputs: Inputs, ignore: Sequence[str], clock: Clock) -> Trace:
    """A trace, or a refusal that says that it took too long."""
    try:
        return trace(network, inputs, ignore=ignore, clock=clock)
    except TimeLimitError as error:
        raise _too_long(network, error) from error


def plan(
    network: nn.Module,
    inputs: Inputs,
    ignore: Sequence[str],
    select: Callable[[Trace], Selection],
) -> Plan:
    """Traces a network, and finds out how a selection of its classes can be made to work.

    Args:
        network: unwrapped; never changed.
        inputs: a typical batch.
        ignore: names of modules or parameters to leave whole.
        select: from the trace to what is to stay.

    Raises:
        UnsupportedNetworkError: if the network cannot be looked into.
    """
    clock = Clock(SECONDS)
    found = traced(network, inputs, ignore, clock)
    repair = Repair(network, inputs, found, clock)
    try:
        mended = repair.run(select(found))
    except TimeLimitError as error:
        raise _too_long(network, error) from error
    if mended.outcome.failure is not None:
        raise UnsupportedNetworkError(
            f"{type(network).__name__} does not run the same way twice: {mended.outcome.failure}"
        )
    return _plan(network, found, repair, mended)


def counts(found: Trace, density: float, round_to: int) -> list[tuple[Group, range]]:
    """The first so many classes of each group, for a share of them.

    A weight that is square stays so: the heads of an attention together are as wide as what comes
    out of it, and code relies on that.
    """
    groups = groups_of(found)
    kept = [rounded(group.n, density, round_to) for group in groups]
    squares = _squares(groups, found)
    changed = True
    while changed:
        changed = False
        for square in squares:
            sizes = {kept[place] * times for place, times in square}
            step = math.lcm(*(times for _, times in square))
            size = min(sizes) // step * step
            if size and sizes != {size}:  # only ever downwards, so that it comes to an end
                changed = True
                for place, times in square:
                    kept[place] = size // times
    return [
        (group, range(count)) for group, count in zip(groups, kept, strict=True) if count < group.n
    ]


def _squares(groups: Sequence[Group], found: Trace) -> list[list[tuple[int, int]]]:
    """For each weight with two equally large dimensions: (group, indices a class) of each."""
    whole = {
        key: (place, positions.shape[1])
        for place, group in enumerate(groups)
        for key, positions in group.positions.items()
        if positions.size == found.owned[key[0]][key[1]].size
    }
    squares = []
    for name, dims in found.owned.items():
        if len(dims) == 2 and dims[0].size == dims[1].size:
            both = [whole[name, axis] for axis in (0, 1) if (name, axis) in whole]
            if len(both) == 2 and both[0] != both[1]:
                squares.append(both)
    return squares


def _plan(network: nn.Module, found: Trace, repair: Repair, mended: Mended) -> Plan:
    unexpected = [pair for pair in protected_of(found) if pair[1] not in NATURAL]
    left = [(group.names[0], reason) for group, reason in repair.left_whole]
    parameters = dict(network.named_parameters())
    return Plan(
        mended.selection,
        mended.edits,
        [*unexpected, *left],
        {name: axes for name, axes in found.contracted.items() if name in parameters},
        found.setting,
        (mended.outcome.flops, found.flops),
    )


def _too_long(network: nn.Module, error: TimeLimitError) -> UnsupportedNetworkError:
    return UnsupportedNetworkError(
        f"{type(network).__name__} could not be looked into: {error}. A network whose own "
        "constructor takes a width needs no tracing: build(width)"
    )
