"""Traces a network's forward pass: which labels belong together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from proxyhpo._inputs import Inputs, map_tensors, with_batch
from proxyhpo.channels.find.clock import Clock, TimeLimitError
from proxyhpo.channels.find.forward import forward, named_outputs
from proxyhpo.channels.find.labels import Dim, Labels
from proxyhpo.channels.find.outputs import kept_outputs
from proxyhpo.channels.find.owned import (
    contracted,
    join_siblings,
    labelled,
    protect_insides,
    protect_rest,
    still_owned,
)
from proxyhpo.channels.find.recorder import Operation, Recorder
from proxyhpo.channels.find.skeleton import copy_with, owned_tensors, spare
from proxyhpo.errors import UnknownNameError, UnsupportedNetworkError, unknown_name

__all__ = ["Output", "Setting", "Trace", "trace", "with_or_without_values"]

LARGE = 20_000_000
"""Networks with more parameters are first run without values. That needs no memory and no time for
products, but has a Python overhead that exceeds the time of a small network's products."""

QUICK_SECONDS = 3.0
"""A small network whose run with values takes longer than this, as on videos, is run without."""


@dataclass(frozen=True)
class Setting:
    """How a network can be run for tracing.

    Args:
        meta: without values; code that reads values then raises an error.
        batch: number of examples; None for all given ones.
    """

    meta: bool
    batch: int | None

    def inputs(self, inputs: Inputs, device: torch.device | str = "cpu") -> Any:
        """The inputs, cut to the batch size and moved to the network's device."""
        cut = inputs if self.batch is None else with_batch(inputs, self.batch)
        device = "meta" if self.meta else device
        return map_tensors(lambda tensor: spare(tensor).to(device), cut)

    def network(self, network: nn.Module) -> nn.Module:
        """A copy of the network for a forward pass, on the CPU if it has values."""
        return copy_with(network, lambda _, tensor: self.tensor(tensor), owned_tensors(network))

    def tensor(self, tensor: Tensor) -> Tensor:
        """A copy of a tensor of the network, for a forward pass."""
        if self.meta:
            return torch.empty_like(tensor.detach(), device="meta")
        return spare(tensor).to("cpu")


@dataclass(frozen=True)
class Output:
    """A tensor that a network returns.

    Args:
        name: keys, fields and indices that lead to it.
        dims: its labels.
        varies: see :class:`~proxyhpo.channels.find.recorder.Operation`.
    """

    name: str
    dims: Sequence[Dim]
    varies: bool


@dataclass(frozen=True)
class Trace:
    """The result of a trace.

    Args:
        labels: of every index.
        owned: name of a parameter, buffer or plain tensor → the labels of its dimensions.
        setting: how the network was run.
        operations: whether in train mode → every operator, in order.
        outputs: whether in train mode → each output, in order.
        contracted: parameter → the dimensions that its products sum over; none for a bias.
        flops: of the forward pass in train mode.
        unused: names of the tensors that no operator used.
        reads_values: whether the forward pass asks for values that depend on the inputs.
    """

    labels: Labels
    owned: Mapping[str, list[Dim]]
    setting: Setting
    operations: Mapping[bool, Sequence[Operation]]
    outputs: Mapping[bool, Sequence[Output]]
    contracted: Mapping[str, tuple[int, ...]]
    flops: int
    unused: AbstractSet[str]
    reads_values: bool


def trace(
    network: nn.Module,
    inputs: Inputs,
    *,
    ignore: Sequence[str],
    clock: Clock,
    outputs: Sequence[str] | None = None,
) -> Trace:
    """Labels every index of a network's tensors, and follows the labels through its forward pass.

    It runs copies in train and in eval mode, on two examples. The network is not changed.

    Args:
        network: unwrapped.
        inputs: a typical batch.
        ignore: names of modules or parameters that are not pruned.
        clock: limits the time.
        outputs: names of the outputs that keep their sizes, see
            :func:`~proxyhpo.channels.find.outputs.kept_outputs`.

    Raises:
        UnknownNameError: for a name in ``ignore`` or ``outputs`` that the network does not have.
        UnsupportedNetworkError: if the network does not run on the inputs.
    """
    _check_names(network, ignore)
    request = _TraceRequest(ignore, clock, outputs)
    failures: list[tuple[Setting, Exception]] = []
    settings = _settings(network)
    for place, setting in enumerate(settings):
        is_quick = place == 0 and not setting.meta
        limited = replace(request, clock=clock.part(QUICK_SECONDS)) if is_quick else request
        try:
            return _traced_whole(network, inputs, setting, limited)
        except TimeLimitError:
            if not is_quick:
                raise
            settings[1:1] = [Setting(meta=True, batch=2), setting]
        except (UnsupportedNetworkError, UnknownNameError):
            raise
        except Exception as error:  # noqa: BLE001 - whatever a user's forward raises: another setting is tried
            failures.append((setting, error))
    told = next(error for setting, error in failures if not setting.meta)
    raise UnsupportedNetworkError(
        f"{type(network).__name__} does not run on example_inputs in train mode: "
        f"{type(told).__name__}: {told}"
    ) from told


@dataclass(frozen=True)
class _TraceRequest:
    """The arguments of :func:`trace` that do not depend on how the network is run."""

    ignore: Sequence[str]
    clock: Clock
    outputs: Sequence[str] | None


def with_or_without_values(network: nn.Module) -> tuple[bool, bool]:
    """The two ways to run a copy, as values of ``Setting.meta``, the better one first.

    A large network, or one that is not on the CPU, runs without values first. A small one runs with
    values first: the first run without them imports the compiler of torch, which takes seconds.
    """
    parameters = list(network.parameters())
    large = sum(parameter.numel() for parameter in parameters) > LARGE
    elsewhere = any(parameter.device.type != "cpu" for parameter in parameters)
    return (True, False) if large or elsewhere else (False, True)


def _settings(network: nn.Module) -> list[Setting]:
    order = with_or_without_values(network)
    return [Setting(meta=meta, batch=batch) for meta in order for batch in (2, None)]


def _traced_whole(
    network: nn.Module, inputs: Inputs, setting: Setting, request: _TraceRequest
) -> Trace:
    """Uses all examples if a few do not reach every tensor, as with experts chosen by values."""
    found = _traced(network, inputs, setting, request)
    if setting.batch is None or not found.unused:
        return found
    whole = Setting(meta=setting.meta, batch=None)
    try:
        more = _traced(network, inputs, whole, request)
    except TimeLimitError:
        raise
    except Exception:  # noqa: BLE001 - code may be written for batches of one size: the few will do
        return found
    return more if len(more.unused) < len(found.unused) else found


def _traced(network: nn.Module, inputs: Inputs, setting: Setting, request: _TraceRequest) -> Trace:
    labels = Labels()
    owned = {name: labelled(labels, tensor) for name, tensor in owned_tensors(network).items()}
    protect_insides(network, labels, owned)
    runs: dict[bool, tuple[Recorder, list[tuple[str, Tensor]]]] = {}
    for training in (True, False):  # one copy each, since a forward pass may store tensors
        copied = setting.network(network)
        recorder, working = Recorder(labels), setting.inputs(inputs)
        recorder.start(still_owned(copied, owned), owned, working)
        watch = recorder.observe
        try:
            outputs = forward(
                copied, working, watch, request.clock, meta=setting.meta, training=training
            )
        except Exception as error:
            if training or isinstance(error, TimeLimitError):
                raise
            continue  # the network only runs in train mode
        named = named_outputs(outputs)
        if not named:
            raise UnsupportedNetworkError(
                f"{type(network).__name__} must return a tensor, or a structure that contains one, "
                f"got {type(outputs).__name__}"
            )
        runs[training] = recorder, named
        recorder.finish(kept_outputs(named, recorder.ancestry, request.outputs))
    used = {name for recorder, _ in runs.values() for name in recorder.used}
    unused = owned.keys() - used
    join_siblings(network, labels, owned, unused)
    labels.settle()
    protect_rest(labels, owned, request.ignore, unused)
    return Trace(
        labels,
        owned,
        setting,
        {training: recorder.operations for training, (recorder, _) in runs.items()},
        {
            training: [
                Output(name, recorder.dims(out), recorder.varies(out)) for name, out in named
            ]
            for training, (recorder, named) in runs.items()
        },
        contracted(labels, owned, [dim for r, _ in runs.values() for dim in r.summed]),
        runs[True][0].flops,
        unused,
        any(recorder.reads_values for recorder, _ in runs.values()),
    )


def _check_names(network: nn.Module, ignore: Sequence[str]) -> None:
    known = {name for name, _ in network.named_modules()} | set(owned_tensors(network))
    for name in ignore:
        if name not in known:
            raise unknown_name("module or parameter in ignore", name, known)
