"""Runs a network to see whether it works and how long it takes.

Each run uses its own copy and its own inputs. A forward pass may store a hidden state, grow a
buffer or write to its inputs. None of this affects the network, its trainings or the next run.
"""

from __future__ import annotations

import time

import torch
from torch import Tensor, nn

from proxyhpo._inputs import Inputs, call
from proxyhpo._seeding import preserved_random_state
from proxyhpo.channels.find.forward import outputs_of, undisturbed
from proxyhpo.channels.find.skeleton import copied, copy_with, owned_tensors, spare
from proxyhpo.channels.find.trace import Setting

__all__ = ["one_step", "run", "step_seconds"]

_ENOUGH, _MOST = 0.25, 60
"""The time of short steps varies. So steps are repeated for this many seconds, up to this number.

The first step does not count. It may load libraries or choose algorithms, so it may take as long as
many others together.
"""

_AS_GIVEN = Setting(meta=False, batch=None)


def run(network: nn.Module, inputs: Inputs) -> None:
    """Runs one forward pass of a copy in train mode, on the network's device.

    Raises:
        Exception: whatever the network raises.
    """
    device = next((parameter.device for parameter in network.parameters()), torch.device("cpu"))
    with undisturbed(), torch.no_grad():
        call(copied(network).train(), _AS_GIVEN.inputs(inputs, device))


def step_seconds(
    network: nn.Module,
    inputs: Inputs,
    *,
    device: torch.device | str = "cpu",
    limit: float = 2.0,
) -> float:
    """The time of one forward and backward pass in train mode: the shortest of several.

    Other work on the machine makes steps longer and never shorter.

    Args:
        network: the network to time. It and the global random states are not changed.
        inputs: a batch.
        device: where to run. A network that is spread over several devices is timed where it is.
        limit: seconds after which no further step starts; at least one step is timed.

    Returns:
        Seconds for the whole batch.
    """
    device = torch.device(device)
    with preserved_random_state():
        network = copied(network).train()
        if len({tensor.device for tensor in owned_tensors(network).values()}) == 1:
            network.to(device)
        seconds: list[float] = []
        spent = 0.0
        while not seconds or (
            spent < limit and len(seconds) < _MOST and spent - seconds[0] < _ENOUGH
        ):
            batch = _AS_GIVEN.inputs(inputs, device)
            seconds.append(one_step(_with_own_state(network), batch, device))
            spent += seconds[-1]
    if device.type == "cuda":
        torch.cuda.empty_cache()
    return min(seconds[1:] or seconds)  # the first one warms up


def one_step(network: nn.Module, batch: Inputs, device: torch.device) -> float:
    """The seconds of a forward and backward pass. The gradients stay on the device."""
    network.zero_grad(set_to_none=True)
    _synchronise(device)
    began = time.perf_counter()
    losses = [_sum(tensor) for tensor in outputs_of(call(network, batch)) if tensor.requires_grad]
    if losses:  # empty if all weights are frozen
        torch.stack([loss.to(device) for loss in losses]).sum().backward()  # type: ignore[no-untyped-call]  # torch's
    _synchronise(device)
    return time.perf_counter() - began


def _sum(output: Tensor) -> Tensor:
    return (torch.view_as_real(output) if output.is_complex() else output).float().sum()


def _with_own_state(network: nn.Module) -> nn.Module:
    """A copy with the same parameters, but its own buffers and attributes."""

    def make(_: str, tensor: Tensor) -> Tensor:
        return tensor if isinstance(tensor, nn.Parameter) else spare(tensor)

    return copy_with(network, make, owned_tensors(network))


def _synchronise(device: torch.device) -> None:
    if device.type != "cpu":
        getattr(torch, device.type).synchronize()
