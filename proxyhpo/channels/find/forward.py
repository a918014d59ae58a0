"""One forward of a copy of a network, with a look at every operator on its way.

Attention and recurrent layers are made to decompose into plain products. Nothing global stays
changed: random states, settings and warnings are as before.
"""

from __future__ import annotations

import ctypes
import random
import sys
import threading
import time
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

__all__ = ["Clock", "Observe", "TimeLimitError", "forward", "outputs_of", "undisturbed"]

OpOverload = torch._ops.OpOverload  # noqa: SLF001 - torch has no other name for the type

Observe = Callable[[OpOverload, Sequence[Any], dict[str, Any], Any, tuple[str, ...]], None]
"""Called with an operator, its arguments, its result and the names of the modules around it."""


class TimeLimitError(Exception):
    """Looking at a network took too long."""


class Clock:
    """Raises once this thread has worked for a number of seconds.

    Time in which other processes had the processor does not count: whether a network is refused
    must not depend on how busy the machine is. What never comes to an operator, or waits without
    working, is ended by the wall's clock: a forward has four times as long by that. (A single call
    outside of Python that does not return cannot be ended.)
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end = time.thread_time() + seconds

    def check(self) -> None:
        """Raises TimeLimitError if the time is over."""
        if time.thread_time() > self._end:
            raise TimeLimitError(f"it took longer than {self._seconds:g} s")

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Ends what runs inside, whatever it does, if it takes too long by the wall's clock."""
        wall = _WALL * self._seconds
        alarm = _Alarm(wall)
        alarm.start()
        try:
            yield
        except Exception as error:
            if alarm.rang:  # user code may have caught that, and raised something else
                raise TimeLimitError(f"a forward took longer than {wall:g} s") from error
            raise
        finally:
            alarm.stop()


_WALL = 4
"""How many times as long a forward may take by the wall's clock: others may be busy, too."""


class _Alarm(threading.Thread):
    """Raises TimeLimitError in the thread that made it, again and again until it is stopped."""

    def __init__(self, seconds: float) -> None:
        super().__init__(daemon=True, name="proxyhpo-alarm")
        self._target_thread = ctypes.c_ulong(threading.get_ident())
        self._seconds = seconds
        self._stopped, self._lock = threading.Event(), threading.Lock()
        self.rang = False

    def run(self) -> None:
        """Waits, and rings."""
        pause = self._seconds
        while not self._stopped.wait(pause):
            with self._lock:
                if not self._stopped.is_set():
                    self.rang = True
                    self._set(ctypes.py_object(TimeLimitError))
            pause = 1.0  # for code that catches every exception and goes on

    def stop(self) -> None:
        """Nothing is raised after this."""
        with self._lock:
            self._stopped.set()
            self._set(None)  # takes back what has not been raised yet

    def _set(self, exception: ctypes.py_object[type[Exception]] | None) -> None:
        ctypes.pythonapi.PyThreadState_SetAsyncExc(self._target_thread, exception)


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch untyped
    def __init__(self, observe: Observe, clock: Clock, stack: list[str], *, meta: bool) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch untyped
        self._observe, self._clock, self._stack, self._meta = observe, clock, stack, meta

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # else torch's compiler is imported, which takes seconds and is not used here

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:  # the signature that torch calls
        del types
        self._clock.check()
        kwargs = dict(kwargs or {})
        if self._meta:
            args, kwargs = _to_meta(func, args, kwargs)
        result = func(*args, **kwargs)
        if any(isinstance(part, Tensor) for part in _parts(result)):
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
    """Runs a copy of a network that may be spoilt, without gradients.

    Args:
        network: on the CPU, or on the meta device.
        inputs: as they are, on the same device.
        observe: called after every operator that gives a tensor.
        meta: whether tensors have no values; whatever code makes is then put there, too.
        clock: ends it.
        training: in train mode, else in eval mode.

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
        stack.enter_context(clock.watching())  # innermost: what puts things back is not cut off
        return call(network, inputs)


def outputs_of(structure: Any) -> list[Tensor]:
    """Every tensor in a network's outputs, those in attributes of objects too, in order."""
    found: list[Tensor] = []
    _collect(structure, found, depth=6)
    return found


@contextmanager
def undisturbed() -> Iterator[None]:
    """The same random numbers each time, nothing compiled, nothing said; all put back after.

    On one thread: a forward of two examples gains little from more, and waits long for them where
    other processes are busy.
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


def _collect(structure: Any, found: list[Tensor], depth: int) -> None:
    if isinstance(structure, Tensor):
        found.append(structure)
    elif depth and isinstance(structure, (list, tuple, set, frozenset)):
        for part in structure:
            _collect(part, found, depth - 1)
    elif depth and hasattr(structure, "items"):
        for part in structure.values():
            _collect(part, found, depth - 1)
    elif depth and hasattr(structure, "__dict__") and not isinstance(structure, (type, nn.Module)):
        for part in vars(structure).values():
            _collect(part, found, depth - 1)
