"""Runs one forward pass of a copy of a network and observes every operator.

Attention and recurrent layers are decomposed into plain products. Global state (random states,
settings and warnings) is restored afterwards.
"""

from __future__ import annotations

import random
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode

from proxyhpo._inputs import Inputs, call, map_tensors
from proxyhpo.channels.find.clock import Clock

__all__ = [
    "DrawsAlike",
    "Observe",
    "forward",
    "named_outputs",
    "outputs_of",
    "undisturbed",
]

OpOverload = torch._ops.OpOverload  # noqa: SLF001 - torch has no other name for the type

Observe = Callable[[OpOverload, Sequence[Any], dict[str, Any], Any, tuple[str, ...]], None]
"""Called with an operator, its arguments, its result and the names of the enclosing modules."""


class _Draws:
    """Gives each random operator of a forward pass its own seed.

    A smaller network draws fewer numbers in a dropout. Without separate seeds, a later random
    decision, such as whether to skip a layer, would differ from that of the full network.
    """

    def __init__(self) -> None:
        self._count = 0

    def prepare(self, function: OpOverload) -> None:
        """Sets the seed of the next operator, if it is a random one."""
        if torch.Tag.nondeterministic_seeded in function.tags:
            self._count += 1
            torch.manual_seed(self._count)


class DrawsAlike(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch untyped
    """Within it the k-th random operator draws the same numbers, whatever the sizes before it."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch untyped
        self._draws = _Draws()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # see _Watch

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:  # signature prescribed by torch
        del types
        self._draws.prepare(func)
        return func(*args, **(kwargs or {}))


_CONVOLUTIONS = (torch.ops.aten.convolution.default, torch.ops.aten._convolution.default)  # noqa: SLF001 - an operator's name


_READING = (torch.ops.aten._local_scalar_dense.default,)  # noqa: SLF001 - likewise
"""Gives a value to Python, as ``if loss > 1`` does; observed although it gives no tensor."""


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch untyped
    def __init__(self, observe: Observe, clock: Clock, stack: list[str], *, meta: bool) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch untyped
        self._observe, self._clock, self._stack, self._meta = observe, clock, stack, meta
        self._draws = _Draws()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # otherwise torch's compiler is imported, which takes seconds

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:  # signature prescribed by torch
        del types
        self._clock.check()
        kwargs = dict(kwargs or {})
        if self._meta:
            args, kwargs = _to_meta(func, args, kwargs)
        self._draws.prepare(func)
        if func in _CONVOLUTIONS:  # mkldnn is off, see _decomposed; with it they take a fourth
            with torch.backends.mkldnn.flags(enabled=True):
                result = func(*args, **kwargs)
        else:
            result = func(*args, **kwargs)
        if func in _READING or any(isinstance(part, Tensor) for part in _parts(result)):
            self._observe(func, args, kwargs, result, tuple(self._stack))
        return result


def forward(
    network: nn.Module,
    inputs: Inputs,
    observe: Observe,
    clock: Clock,
    *,
    meta: bool,
    training: bool,
) -> Any:
    """Runs a network without gradients. The network may be modified, so pass a copy.

    Args:
        network: on the CPU, or on the meta device.
        inputs: on the same device.
        observe: called after every operator that returns a tensor, or a value to Python.
        meta: whether tensors have no values. Tensors created by the code are then moved to the meta
            device, too.
        clock: limits the time.
        training: whether to run in train mode instead of eval mode.

    Returns:
        The network's outputs.
    """
    network.train(training)
    with ExitStack() as stack:
        stack.enter_context(undisturbed())
        stack.enter_context(_decomposed())
        stack.enter_context(torch.no_grad())
        modules = stack.enter_context(_module_stack(network))
        stack.enter_context(_Watch(observe, clock, modules, meta=meta))
        stack.enter_context(clock.watching())  # innermost, so that clean-up code is not interrupted
        return call(network, inputs)


def outputs_of(structure: Any) -> list[Tensor]:
    """Every tensor in a network's outputs, in order, also in attributes of objects."""
    return [tensor for _, tensor in named_outputs(structure)]


def named_outputs(structure: Any) -> list[tuple[str, Tensor]]:
    """The same tensors with their names: keys, fields and indices, joined by dots.

    >>> [name for name, _ in named_outputs({"logits": torch.zeros(2), "states": [torch.ones(1)]})]
    ['logits', 'states.0']
    """
    found: list[tuple[str, Tensor]] = []
    _collect(structure, found, ())
    return found


@contextmanager
def undisturbed() -> Iterator[None]:
    """Fixes random numbers, disables compilation, and silences warnings; restores all afterwards.

    It uses one thread, since a forward pass of two examples gains little from more, and waits long
    for them if other processes are busy.
    """
    threads = torch.get_num_threads()
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 - users' forwards may draw from the global state
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng())
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        if "torch._dynamo" in sys.modules and hasattr(torch.compiler, "set_stance"):
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        torch.set_num_threads(1)
        torch.manual_seed(0)
        random.seed(0)
        np.random.seed(0)  # noqa: NPY002 - see above
        try:
            yield
        finally:
            torch.set_num_threads(threads)
            random.setstate(python)
            np.random.set_state(numpy)  # noqa: NPY002 - see above


@contextmanager
def _decomposed() -> Iterator[None]:
    """Makes attention and recurrent layers run as plain products."""
    fast = torch.backends.mha.get_fastpath_enabled()
    with (
        sdpa_kernel(SDPBackend.MATH),
        torch.backends.mkldnn.flags(enabled=False),
    ):
        torch.backends.mha.set_fastpath_enabled(False)
        try:
            yield
        finally:
            torch.backends.mha.set_fastpath_enabled(fast)


@contextmanager
def _module_stack(network: nn.Module) -> Iterator[list[str]]:
    """The names of the modules whose forward is running, outermost first."""
    stack: list[str] = []
    handles = []
    for name, module in network.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            continue
        enter, leave = _hooks(stack, name)
        handles.append(module.register_forward_pre_hook(enter))
        handles.append(module.register_forward_hook(leave, always_call=True))
    try:
        yield stack
    finally:
        for handle in handles:
            handle.remove()


def _hooks(stack: list[str], name: str) -> tuple[Callable[..., None], Callable[..., None]]:
    def enter(*_: Any) -> None:
        stack.append(name)

    def leave(*_: Any) -> None:
        stack.pop()

    return enter, leave


def _parts(result: Any) -> Sequence[Any]:
    return result if isinstance(result, (tuple, list)) else (result,)


def _to_meta(func: Any, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    def move(tensor: Tensor) -> Tensor:
        return tensor if tensor.is_meta else torch.empty_like(tensor, device="meta")

    if any(argument.name == "device" for argument in func._schema.arguments):  # noqa: SLF001 - the public way to a schema is to parse its text
        kwargs["device"] = torch.device("meta")
    return map_tensors(move, args), map_tensors(move, kwargs)


def _collect(structure: Any, found: list[tuple[str, Tensor]], path: tuple[str, ...]) -> None:
    if isinstance(structure, Tensor):
        found.append((".".join(path), structure))
    elif len(path) < _DEPTH:
        for name, part in _named_parts(structure):
            _collect(part, found, (*path, name))


_DEPTH = 6
"""Maximum depth at which tensors are searched for in a network's outputs."""


def _named_parts(structure: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(structure, (list, tuple, set, frozenset)):
        places = map(str, range(len(structure)))
        yield from zip(getattr(structure, "_fields", places), structure, strict=True)
    elif hasattr(structure, "items"):
        yield from ((str(key), part) for key, part in structure.items())
    elif hasattr(structure, "__dict__") and not isinstance(structure, (type, nn.Module)):
        yield from vars(structure).items()
