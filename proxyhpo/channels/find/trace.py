"""What a network's forward says about its channels: which labels belong together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from proxyhpo._inputs import Inputs, map_tensors, with_batch
from proxyhpo.channels.find.forward import Clock, TimeLimitError, forward, outputs_of
from proxyhpo.channels.find.labels import FIXED, INSIDE, Dim, Labels
from proxyhpo.channels.find.recorder import Recorder, Step
from proxyhpo.channels.find.rules import fixed
from proxyhpo.channels.find.skeleton import copy_with, owned_tensors, spare
from proxyhpo.errors import UnsupportedNetworkError, unknown_name

__all__ = ["Setting", "Trace", "trace"]

IGNORED = "it is to be left alone (ignore)"
UNUSED = "no operator uses it on example_inputs"

LARGE = 20_000_000
"""Networks of more parameters are first run without values: that takes no memory, and no time for
the products, but has an overhead in Python that is larger than the products of small ones."""


@dataclass(frozen=True)
class Setting:
    """How a network can be run for a look at it.

    Args:
        meta: without values; what looks at values raises then.
        batch: on how many examples; None for all that were given.
    """

    meta: bool
    batch: int | None

    def inputs(self, inputs: Inputs, device: torch.device | str = "cpu") -> Any:
        """The inputs, cut to the batch, where the network is."""
        cut = inputs if self.batch is None else with_batch(inputs, self.batch)
        device = "meta" if self.meta else device
        return map_tensors(lambda tensor: spare(tensor).to(device), cut)

    def network(self, network: nn.Module) -> nn.Module:
        """A copy of the network, on the CPU if it has values, which a forward may spoil."""
        return copy_with(network, lambda _, tensor: self.tensor(tensor), owned_tensors(network))

    def tensor(self, tensor: Tensor) -> Tensor:
        """A tensor of the network, which a forward may write to."""
        if self.meta:
            return torch.empty_like(tensor.detach(), device="meta")
        return spare(tensor).to("cpu")


@dataclass(frozen=True)
class Trace:
    """All that was seen.

    Args:
        labels: of every index.
        owned: name of a parameter, buffer or plain tensor → the labels of its dimensions.
        setting: in which it could be run.
        steps: whether in train mode → every operator, in order.
        outputs: whether in train mode → the shape of each output.
        contracted: parameter → the dimensions that its products sum over, none for a bias.
        flops: of the forward in train mode.
    """

    labels: Labels
    owned: Mapping[str, list[Dim]]
    setting: Setting
    steps: Mapping[bool, Sequence[Step]]
    outputs: Mapping[bool, Sequence[tuple[int, ...]]]
    contracted: Mapping[str, tuple[int, ...]]
    flops: int


def trace(network: nn.Module, inputs: Inputs, *, ignore: Sequence[str], clock: Clock) -> Trace:
    """Labels every index of a network's tensors, and follows them through its forward.

    A copy is run, in train and in eval mode, on two examples; the network is left untouched.

    Args:
        network: unwrapped.
        inputs: a typical batch.
        ignore: names of modules or parameters to leave alone.
        clock: ends it.

    Raises:
        UnknownNameError: for a name in ``ignore`` that the network does not have.
        UnsupportedNetworkError: if the network does not run on the inputs.
    """
    _check_names(network, ignore)
    failures: list[tuple[Setting, Exception]] = []
    for setting in _settings(network):
        try:
            return _traced(network, inputs, setting, ignore, clock)
        except (TimeLimitError, UnsupportedNetworkError):  # noqa: PERF203 - four times at most
            raise
        except Exception as error:  # noqa: BLE001 - whatever a user's forward raises: another setting is tried
            failures.append((setting, error))
    told = next(error for setting, error in failures if not setting.meta)
    raise UnsupportedNetworkError(
        f"{type(network).__name__} does not run on example_inputs in train mode: "
        f"{type(told).__name__}: {told}"
    ) from told


def _settings(network: nn.Module) -> list[Setting]:
    parameters = list(network.parameters())
    large = sum(parameter.numel() for parameter in parameters) > LARGE
    elsewhere = any(parameter.device.type != "cpu" for parameter in parameters)
    order = (True, False) if large or elsewhere else (False, True)
    return [Setting(meta=meta, batch=batch) for meta in order for batch in (2, None)]


def _traced(
    network: nn.Module, inputs: Inputs, setting: Setting, ignore: Sequence[str], clock: Clock
) -> Trace:
    labels = Labels()
    owned = {n: _labelled(labels, tensor) for n, tensor in owned_tensors(network).items()}
    _protect_insides(network, labels, owned)
    runs: dict[bool, tuple[Recorder, list[Tensor]]] = {}
    for training in (True, False):  # on a copy each: what a forward remembers is no tensor of ours
        copied = setting.network(network)
        recorder, working = Recorder(labels), setting.inputs(inputs)
        recorder.start(_still_owned(copied, owned), owned, working)
        watch = recorder.observe
        try:
            outputs = forward(copied, working, watch, clock, meta=setting.meta, training=training)
        except Exception as error:
            if training or isinstance(error, TimeLimitError):
                raise
            continue  # a network that only trains: there is no eval mode to look after
        runs[training] = recorder, outputs_of(outputs)
        recorder.finish(runs[training][1])
    if not runs[True][1]:
        raise UnsupportedNetworkError(f"no tensor is in what {type(network).__name__} returns")
    labels.settle()
    _protect_rest(labels, owned, ignore, {name for r, _ in runs.values() for name in r.used})
    return Trace(
        labels,
        owned,
        setting,
        {training: recorder.steps for training, (recorder, _) in runs.items()},
        {training: [tuple(out.shape) for out in outs] for training, (_, outs) in runs.items()},
        _contracted(labels, owned, [dim for r, _ in runs.values() for dim in r.summed]),
        runs[True][0].flops,
    )


def _labelled(labels: Labels, tensor: Tensor) -> list[Dim]:
    return [labels.new(size) if size > 1 else fixed([size])[0] for size in tensor.shape]


def _still_owned(network: nn.Module, owned: Mapping[str, list[Dim]]) -> dict[str, Tensor]:
    """The tensors that are known by name, unless a forward has put others in their place."""
    return {
        name: tensor
        for name, tensor in owned_tensors(network).items()
        if name in owned and [dim.size for dim in owned[name]] == list(tensor.shape)
    }


def _protect_insides(network: nn.Module, labels: Labels, owned: Mapping[str, list[Dim]]) -> None:
    """Kernels of convolutions are known before a parametrization reshapes them."""
    insides = [name for name, module in network.named_modules() if isinstance(module, _ConvNd)]
    for name, dims in owned.items():
        if name.startswith(tuple(f"{inside}." for inside in insides) or ("\0",)):
            for dim in dims[2:]:
                labels.protect(dim[dim > 0], INSIDE)


def _protect_rest(
    labels: Labels, owned: Mapping[str, list[Dim]], ignore: Sequence[str], used: set[str]
) -> None:
    for name, dims in owned.items():
        ignored = any(name == other or name.startswith(f"{other}.") for other in ignore)
        if ignored or name not in used:
            for dim in dims:
                labels.protect(dim[dim > 0], IGNORED if ignored else UNUSED)


def _contracted(
    labels: Labels, owned: Mapping[str, list[Dim]], summed: Sequence[Dim]
) -> dict[str, tuple[int, ...]]:
    """Which dimensions of which parameters the labels belong to, through all reshapes."""
    hit = np.zeros(len(labels.all()), np.bool_)
    for dim in summed:
        hit[dim] = True
    for made, sources in reversed(labels.sources):
        if hit[made].any():
            for source in sources:
                hit[source] = True
    hit[FIXED] = False
    return {
        name: tuple(axis for axis, dim in enumerate(dims) if hit[dim].any())
        for name, dims in owned.items()
    }


def _check_names(network: nn.Module, ignore: Sequence[str]) -> None:
    known = {name for name, _ in network.named_modules()} | set(owned_tensors(network))
    for name in ignore:
        if name not in known:
            raise unknown_name("module or parameter in ignore", name, known)
