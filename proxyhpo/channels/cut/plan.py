"""A plan for pruning networks of one structure: the result of a trace, as plain data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from proxyhpo._inputs import Inputs
from proxyhpo.channels.cut.mending import Edit
from proxyhpo.channels.cut.repair import Mended, Repair, Selection
from proxyhpo.channels.find.clock import Clock, TimeLimitError
from proxyhpo.channels.find.groups import protected_of
from proxyhpo.channels.find.labels import NATURAL
from proxyhpo.channels.find.trace import Setting, Trace, trace
from proxyhpo.errors import UnsupportedNetworkError

__all__ = ["SECONDS", "Plan", "plan", "traced"]

SECONDS = 60.0
"""Time limit in seconds for tracing and repairing a network."""


@dataclass(frozen=True)
class Plan:
    """How networks of one structure are pruned.

    Args:
        selection: groups, and an example of the classes of each that are kept. Any other choice of
            as many classes works as well.
        edits: attributes of Python objects to change.
        skipped: what is not pruned, as (name, reason).
        contracted: parameter → the dimensions that its products sum over; none for a bias.
        setting: how the network can be run.
        flops: of the smaller network and of the full one, in train mode.
        narrower: index among the outputs in train mode → name of an output that becomes smaller.
        given: what cannot be pruned in any network, as (name, reason): inputs, outputs, tables.
        varies: whether some operators' shapes depend on values, as with ``nonzero``.
    """

    selection: Selection
    edits: Sequence[Edit]
    skipped: Sequence[tuple[str, str]]
    contracted: Mapping[str, tuple[int, ...]]
    setting: Setting
    flops: tuple[int, int]
    narrower: Mapping[int, str]
    given: Sequence[tuple[str, str]]
    varies: bool


def traced(
    network: nn.Module,
    inputs: Inputs,
    ignore: Sequence[str],
    clock: Clock,
    outputs: Sequence[str] | None = None,
) -> Trace:
    """Traces a network, or raises an error that it took too long."""
    try:
        return trace(network, inputs, ignore=ignore, clock=clock, outputs=outputs)
    except TimeLimitError as error:
        raise _too_long(network, error) from error


def plan(
    network: nn.Module,
    inputs: Inputs,
    ignore: Sequence[str],
    select: Callable[[Trace], Selection],
    outputs: Sequence[str] | None = None,
) -> Plan:
    """Traces a network, and finds out how a selection of its classes can be kept.

    Args:
        network: unwrapped; it is not changed.
        inputs: a typical batch.
        ignore: names of modules or parameters that are not pruned.
        select: given the trace, returns what is kept.
        outputs: names of the outputs that keep their sizes.

    Raises:
        UnsupportedNetworkError: if the network cannot be traced.
    """
    clock = Clock(SECONDS)
    found = traced(network, inputs, ignore, clock, outputs)
    repair = Repair(network, inputs, found, clock)
    try:
        mended = repair.run(select(found))
    except TimeLimitError as error:
        raise _too_long(network, error) from error
    if mended.comparison.failure is not None:
        raise UnsupportedNetworkError(
            f"{type(network).__name__} does not run the same way twice: {mended.comparison.failure}"
        )
    return _plan(network, found, repair, mended)


def _plan(network: nn.Module, found: Trace, repair: Repair, mended: Mended) -> Plan:
    protected = protected_of(found)
    unexpected = [pair for pair in protected if pair[1] not in NATURAL]
    left = [(group.names[0], reason) for group, reason in repair.left_whole]
    parameters = dict(network.named_parameters())
    return Plan(
        mended.selection,
        mended.edits,
        [*unexpected, *left],
        {name: axes for name, axes in found.contracted.items() if name in parameters},
        found.setting,
        (mended.comparison.flops, found.flops),
        {
            place: output.name
            for place, output in enumerate(found.outputs[True])
            if any(mended.forecast.size(dim) != dim.size for dim in output.dims)
        },
        [pair for pair in protected if pair[1] in NATURAL],
        any(
            operation.varies for operations in found.operations.values() for operation in operations
        ),
    )


def _too_long(network: nn.Module, error: TimeLimitError) -> UnsupportedNetworkError:
    return UnsupportedNetworkError(
        f"{type(network).__name__} could not be traced: {error}. A network whose "
        "constructor takes a width needs no tracing: build(width) with pruner='by-width'"
    )
