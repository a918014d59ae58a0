"""Running a network to see whether it works and how long it takes.

Each run is on a copy of its own and on inputs of its own. A forward may keep a hidden state, grow
a buffer, or write to its inputs; none of that reaches the network, its trainings or the next run.
"""

from __future__ import annotations

import statistics
import time

import torch
from torch import Tensor, nn

from proxyhpo._inputs import Inputs, call
from proxyhpo._seeding import preserved_random_state
from proxyhpo.channels.find.forward import outputs_of, undisturbed
from proxyhpo.channels.find.skeleton import copied, copy_with, owned_tensors, spare
from proxyhpo.channels.find.trace import Setting

__all__ = ["one_step", "run", "step_seconds"]

_WARM_UP = 2
_REPETITIONS = 5
_SHORT, _MOST = 0.1, 60
"""Steps of small networks vary much: they are repeated for so many seconds, at most so often."""

_AS_GIVEN = Setting(meta=False, batch=None)


def run(network: nn.Module, inputs: Inputs) -> None:
    """One forward of a copy in train mode, where the network is.

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
    """The time of one forward and backward in train mode: the median of a few.

    Args:
        network: to be timed; it and global random states are left as they were.
        inputs: a batch.
        device: where. A network that is spread over several devices is timed where it is.
        limit: seconds after which no further step is started; one is taken in any case.

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
            spent < limit
            and len(seconds) < _MOST
            and (len(seconds) < _WARM_UP + _REPETITIONS or spent < _SHORT)
        ):
            batch = _AS_GIVEN.inputs(inputs, device)
            seconds.append(one_step(_with_own_state(network), batch, device))
            spent += seconds[-1]
    if device.type == "cuda":
        torch.cuda.empty_cache()
    return statistics.median(seconds[_WARM_UP:] or seconds[-1:])


def one_step(network: nn.Module, batch: Inputs, device: torch.device) -> float:
    """The seconds of a forward and a backward on the device, where the gradients stay."""
    network.zero_grad(set_to_none=True)
    _synchronise(device)
    began = time.perf_counter()
    losses = [_sum(tensor) for tensor in outputs_of(call(network, batch)) if tensor.requires_grad]
    if losses:  # otherwise all weights are frozen
        torch.stack([loss.to(device) for loss in losses]).sum().backward()  # type: ignore[no-untyped-call]  # torch's
    _synchronise(device)
    return time.perf_counter() - began


def _sum(output: Tensor) -> Tensor:
    return (torch.view_as_real(output) if output.is_complex() else output).float().sum()


def _with_own_state(network: nn.Module) -> nn.Module:
    """A copy with the same parameters, and with buffers and attributes of its own."""

    def make(_: str, tensor: Tensor) -> Tensor:
        return tensor if isinstance(tensor, nn.Parameter) else spare(tensor)

    return copy_with(network, make, owned_tensors(network))


def _synchronise(device: torch.device) -> None:
    if device.type != "cpu":
        getattr(torch, device.type).synchronize()
