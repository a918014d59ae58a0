"""The public functions: smaller networks, from plans that are made once per structure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from proxyhpo._inputs import Inputs, check_inputs, map_tensors
from proxyhpo._validation import check_fraction, check_names, check_whole
from proxyhpo.channels.cut.counting import counts
from proxyhpo.channels.cut.mending import apply_edits, integers
from proxyhpo.channels.cut.plan import SECONDS, Plan, plan, traced
from proxyhpo.channels.cut.refusal import is_smaller, no_smaller
from proxyhpo.channels.cut.slicing import Score, Slices, chosen, kept_indices, sliced
from proxyhpo.channels.cut.verify import unreached
from proxyhpo.channels.find.clock import Clock
from proxyhpo.channels.find.groups import Group, groups_of, protected_of
from proxyhpo.channels.find.skeleton import owned_tensors, refuse, unwrap
from proxyhpo.errors import ArgumentError, UnsupportedNetworkError

__all__ = ["Shrunk", "find_groups", "remove", "shrink"]


@dataclass(frozen=True)
class Shrunk:
    """A smaller network.

    Args:
        network: the smaller copy, with the same parameter names and mode. It shares no storage.
        skipped: what was not pruned, as (parameter or module name, reason).
        contracted: parameter name → the dimensions that its products sum over (its fan-in).
    """

    network: nn.Module
    skipped: Sequence[tuple[str, str]]
    contracted: Mapping[str, tuple[int, ...]]
    narrower: Mapping[int, str] = field(default_factory=dict)
    """Index among the outputs in train mode → name of an output that is smaller than before."""


@dataclass(frozen=True)
class _PlanRequest:
    """The arguments that a plan depends on, see :func:`shrink`."""

    density: float
    ignore: tuple[str, ...]
    round_to: int
    outputs: tuple[str, ...] | None


def shrink(
    network: nn.Module,
    example_inputs: Inputs,
    *,
    density: float,
    score: Score,
    ignore: Sequence[str] = (),
    round_to: int = 8,
    outputs: Sequence[str] | None = None,
    plans: MutableMapping[str, Plan] | None = None,
) -> Shrunk:
    """A smaller copy of a network, in which each group of channels keeps a share of its classes.

    Args:
        network: any module; it is not changed. The wrappers of ``torch.compile``, DataParallel and
            DistributedDataParallel are removed.
        example_inputs: a typical batch.
        density: the share of its classes that each group keeps, in (0, 1].
        score: from the slices of a group to a score for each class; the highest are kept.
        ignore: names of modules or parameters that are not pruned.
        round_to: the number of classes is rounded down to a multiple of this, unless that is less
            than half of the requested number.
        outputs: names of the outputs that training uses, by key, field or index (``"logits"``,
            ``"0"``): these keep their sizes. By default they are ``loss`` and ``logits``, or else
            the first output, and every output from which no other output is computed. Others, such
            as hidden states, may become narrower.
        plans: the results of tracing, by structure. A network whose plan is included is not
            traced, only scored and sliced; a new plan is added. Plans are picklable data.

    Raises:
        ArgumentError: for arguments outside their range, or unknown names in ``ignore``.
        UnsupportedNetworkError: if the network cannot be made smaller; the message gives the
            reasons and alternatives.
    """
    check_fraction("density", density)
    check_names("ignore", ignore)
    check_whole("round_to", round_to, 1)
    if outputs is not None:
        check_names("outputs", outputs)
    network, inputs = unwrap(network), check_inputs(example_inputs)
    refuse(network)
    if density == 1:
        return Shrunk(sliced(network, owned_tensors(network), {}), (), {})
    request = _PlanRequest(
        density, tuple(ignore), round_to, None if outputs is None else tuple(outputs)
    )
    plans = {} if plans is None else plans
    key = _fingerprint(network, inputs, request)
    made = plans.get(key) or _planned(network, inputs, request)
    smaller = _carried_out(network, made, score)
    if key not in plans:
        _check_training(network, smaller, inputs, made)
        plans[key] = made
    return Shrunk(smaller, made.skipped, made.contracted, made.narrower)


def find_groups(
    network: nn.Module, example_inputs: Inputs, *, ignore: Sequence[str] = ()
) -> tuple[Sequence[Group], Sequence[tuple[str, str]]]:
    """All groups of channels that can be pruned; and what cannot, as (tensor name, reason).

    Raises:
        UnsupportedNetworkError: if the network cannot be traced.
    """
    network = unwrap(network)
    refuse(network)
    found = traced(network, check_inputs(example_inputs), ignore, Clock(SECONDS))
    return groups_of(found), protected_of(found)


def remove(
    network: nn.Module,
    groups_and_kept: Sequence[tuple[Group, Sequence[int]]],
    example_inputs: Inputs,
) -> Shrunk:
    """A smaller copy in which each of these groups keeps exactly these classes.

    A group without which the network does not run is not pruned, and is listed in ``skipped``.

    Args:
        network: any module; it is not changed.
        groups_and_kept: groups from :func:`find_groups`, and the classes to keep, at least one of
            each group.
        example_inputs: a typical batch.

    Raises:
        ArgumentError: for classes that a group does not have, or if none is kept.
        UnsupportedNetworkError: if the network cannot be traced.
    """
    for group, kept in groups_and_kept:
        if len(kept) == 0 or min(kept) < 0 or max(kept) >= group.n:
            raise ArgumentError(
                f"kept must contain one or more indices from 0 to {group.n - 1} for {group}, got "
                f"{kept!r}"
            )
    network, inputs = unwrap(network), check_inputs(example_inputs)
    refuse(network)
    made = plan(network, inputs, (), lambda _: groups_and_kept)
    smaller = _carried_out(network, made, None)
    _check_training(network, smaller, inputs, made)
    return Shrunk(smaller, made.skipped, made.contracted, made.narrower)


def _planned(network: nn.Module, inputs: Inputs, request: _PlanRequest) -> Plan:
    density, round_to = request.density, request.round_to
    made = plan(
        network, inputs, request.ignore, lambda f: counts(f, density, round_to), request.outputs
    )
    small, full = made.flops
    left = small / full if full and made.selection else float(not made.selection)
    if not is_smaller(left, density):
        raise no_smaller(network, left, density, made.skipped or made.given)
    return made


def _carried_out(network: nn.Module, made: Plan, score: Score | None) -> nn.Module:
    """The smaller network: with the highest scores, or else with the classes of the plan."""
    tensors = owned_tensors(network)
    selection = made.selection
    if score is not None:
        selection = [(group, _best(group, len(kept), tensors, score)) for group, kept in selection]
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    smaller = sliced(network, tensors, kept_indices(selection, shapes))
    apply_edits(smaller, made.edits)
    return smaller


def _best(group: Group, count: int, tensors: Mapping[str, Tensor], score: Score) -> Sequence[int]:
    scores = score(Slices(group, tensors))
    if not isinstance(scores, Tensor) or scores.shape != (group.n,):
        got = f"a tensor of shape {tuple(scores.shape)}" if isinstance(scores, Tensor) else scores
        raise ArgumentError(
            f"score must return a tensor with one number for each of {group.n} classes, got {got}"
        )
    if undefined := int(scores.isnan().sum()):
        raise ArgumentError(
            f"score must return numbers, got NaN for {undefined} of {group.n} classes of "
            f"{group.names[0]}"
        )
    return chosen(scores, count)


def _check_training(network: nn.Module, smaller: nn.Module, inputs: Inputs, made: Plan) -> None:
    """Runs a forward and backward pass on real numbers; done once per plan."""
    try:
        missed = unreached(smaller, inputs, made.setting, varies=made.varies)
    except Exception as error:
        raise UnsupportedNetworkError(
            f"the smaller {type(network).__name__} does not train: {type(error).__name__}: {error}"
        ) from error
    missed = missed and missed - unreached(network, inputs, made.setting, varies=False)
    if missed:
        raise UnsupportedNetworkError(
            f"in the smaller {type(network).__name__} no gradient reaches "
            f"{', '.join(sorted(missed))}"
        )


def _fingerprint(network: nn.Module, inputs: Inputs, request: _PlanRequest) -> str:
    """A hash of what a plan depends on: shapes, module types, and integer attributes."""
    said: list[object] = [request]
    said += [(name, tuple(t.shape), t.dtype) for name, t in owned_tensors(network).items()]
    for name, module in network.named_modules():
        said.append((name, type(module).__module__, type(module).__qualname__))
        said.extend(integers(module))
    said.append(map_tensors(lambda tensor: torch.empty_like(tensor[:0], device="meta"), inputs))
    return hashlib.sha256(repr(said).encode()).hexdigest()
