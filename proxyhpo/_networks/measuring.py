"""What a network costs and how much of it is left: for every pruner alike."""

from __future__ import annotations

import copy
import dataclasses
import statistics
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from proxyhpo._inputs import Inputs, call, map_tensors
from proxyhpo._seeding import preserved_random_state
from proxyhpo.channels.find.forward import undisturbed
from proxyhpo.channels.find.skeleton import copy_with, owned_tensors

__all__ = [
    "Forward",
    "borrowed",
    "forward",
    "on_meta",
    "one_step",
    "parameter_count",
    "run",
    "skeleton",
    "step_seconds",
    "tensors_in",
]

_WARM_UP = 2
_REPETITIONS = 5


@dataclasses.dataclass(frozen=True)
class Forward:
    """What one forward in train mode showed.

    Args:
        flops: floating-point operations of matrix products and convolutions, counting a
            multiplication and an addition as two; None if they could not be counted.
        by_module: module name → its share of them, that of the modules inside it included.
        reason: why they could not be counted.
        shapes: of the tensors in the output; None if there was no forward.
    """

    flops: int | None
    by_module: Mapping[str, int] = dataclasses.field(default_factory=dict)
    reason: str | None = None
    shapes: tuple[tuple[int, ...], ...] | None = None


def forward(network: nn.Module, inputs: Inputs) -> Forward:
    """Counts the FLOPs of a forward, without computing it where the network allows that.

    The network is left as it was. Attention and recurrent layers are counted as the products that
    they are made of.

    >>> forward(nn.Linear(3, 5), torch.zeros(4, 3)).flops
    120
    """
    try:
        with preserved_random_state(), torch.device("meta"):
            return _counted(skeleton(network), on_meta(inputs))
    except Exception as error:  # noqa: BLE001 - a forward that looks at values may raise anything
        without_values = error
    try:
        with preserved_random_state(), _decomposed_kernels():
            return _counted(copy.deepcopy(network), inputs)
    except Exception as error:  # noqa: BLE001 - as above; the cost is then reported as unknown
        return Forward(
            None,
            reason=f"the forward failed on the meta device ({_in_short(without_values)}) "
            f"and on real tensors ({_in_short(error)})",
        )


def skeleton(network: nn.Module) -> nn.Module:
    """A copy of the network on the meta device, made without copying what its tensors hold."""
    return copy_with(network, lambda _, tensor: _on_meta(tensor), owned_tensors(network))


def on_meta(inputs: Inputs) -> Any:
    """The inputs' shapes and types, without their values."""
    return map_tensors(_on_meta, inputs)


def run(network: nn.Module, inputs: Inputs) -> None:
    """One forward in train mode, where the network is; it is left as it was.

    Raises:
        Exception: whatever the network raises.
    """
    device = next((parameter.device for parameter in network.parameters()), torch.device("cpu"))
    with undisturbed(), borrowed(network, device), torch.no_grad():
        call(network, map_tensors(lambda tensor: tensor.to(device), inputs))


def step_seconds(
    network: nn.Module,
    inputs: Inputs,
    *,
    device: torch.device | str = "cpu",
    limit: float = 2.0,
) -> float:
    """The time of one forward and backward in train mode: the median of a few.

    The network, its device and buffers included, and global random states are left as they were.

    Args:
        network: to be timed.
        inputs: a batch.
        device: where.
        limit: seconds after which no further step is started; one is taken in any case.

    Returns:
        Seconds for the whole batch.
    """
    device = torch.device(device)
    with preserved_random_state(), borrowed(network, device):
        batch = map_tensors(lambda tensor: tensor.to(device), inputs)
        seconds: list[float] = []
        spent = 0.0
        while not seconds or (
            spent < limit and (len(seconds) < _WARM_UP + _REPETITIONS or spent < 0.1)
        ):
            seconds.append(one_step(network, batch, device))
            spent += seconds[-1]
    return statistics.median(seconds[_WARM_UP:] or seconds[-1:])


def parameter_count(network: nn.Module, away: Mapping[str, int] | None = None) -> int:
    """The number of weights, less those that masks hold at zero."""
    return sum(p.numel() for p in network.parameters()) - sum((away or {}).values())


def tensors_in(output: Any) -> list[Tensor]:
    """The tensors in whatever a forward returned, data classes included, in order."""
    if isinstance(output, Tensor):
        return [output]
    if isinstance(output, Mapping):
        output = list(output.values())
    elif dataclasses.is_dataclass(output) and not isinstance(output, type):
        output = [getattr(output, field.name) for field in dataclasses.fields(output)]
    if isinstance(output, (list, tuple)):
        return [tensor for part in output for tensor in tensors_in(part)]
    return []


def _counted(network: nn.Module, inputs: Inputs) -> Forward:
    """Counts on a network that may be changed."""
    from torch.utils.flop_counter import FlopCounterMode  # noqa: PLC0415 - slow: it imports triton

    network.train()
    # Attention is only counted where it is made of products.
    with FlopCounterMode(display=False) as counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        output = call(network, inputs)
    shapes = tuple(tuple(tensor.shape) for tensor in tensors_in(output))
    total = int(counter.get_total_flops())
    if total == 0:
        return Forward(None, reason="no operator in it has a known count", shapes=shapes)
    by_module = {
        path.partition(".")[2]: int(sum(counts.values()))
        for path, counts in counter.get_flop_counts().items()
        if "." in path
    }
    return Forward(total, by_module, shapes=shapes)


def one_step(network: nn.Module, batch: Inputs, device: torch.device) -> float:
    """The seconds of a forward and a backward on the device, where the gradients stay."""
    network.zero_grad(set_to_none=True)
    _synchronise(device)
    began = time.perf_counter()
    outputs = [t for t in tensors_in(call(network, batch)) if t.is_floating_point()]
    loss = sum((output.sum() for output in outputs), start=torch.zeros((), device=device))
    if loss.requires_grad:  # otherwise all weights are frozen
        loss.backward()  # type: ignore[no-untyped-call]  # torch's
    _synchronise(device)
    return time.perf_counter() - began


@contextmanager
def borrowed(network: nn.Module, device: torch.device) -> Iterator[None]:
    """Lends the network; it comes back in its mode, with its buffers and without gradients."""
    modes = {module: module.training for module in network.modules()}
    buffers = [buffer.detach().clone() for buffer in network.buffers()]
    homes = {tensor.device for tensor in (*network.parameters(), *network.buffers())}
    moved = len(homes) == 1 and homes != {device}  # one spread over devices is left where it is
    try:
        if moved:
            network.to(device)
        network.train()
        yield
    finally:
        network.zero_grad(set_to_none=True)
        if moved:
            network.to(homes.pop())
        for module, mode in modes.items():
            module.training = mode
        with torch.no_grad():
            for buffer, value in zip(network.buffers(), buffers, strict=True):
                buffer.copy_(value)
        if device.type == "cuda":
            torch.cuda.empty_cache()


@contextmanager
def _decomposed_kernels() -> Iterator[None]:
    """Fused recurrent kernels count as nothing; without them the layers are products."""
    mkldnn = torch._C._get_mkldnn_enabled()  # noqa: SLF001 - the public way warns on some builds
    try:
        torch._C._set_mkldnn_enabled(False)  # noqa: SLF001 - as above
        with torch.backends.cudnn.flags(enabled=False):
            yield
    finally:
        torch._C._set_mkldnn_enabled(mkldnn)  # noqa: SLF001 - as above


def _synchronise(device: torch.device) -> None:
    if device.type != "cpu":
        getattr(torch, device.type).synchronize()


def _on_meta(tensor: Tensor) -> Tensor:
    return torch.empty_like(tensor, device="meta", requires_grad=False)


def _in_short(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"
