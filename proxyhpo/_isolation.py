"""A training leaves nothing behind in its process: one way for every executor.

Settings of torch that hold for the process or the thread are those of the study when a training
begins, and the process's own when it has ended. So a training sees the same whichever trainings ran
before it, wherever it runs, and the caller's settings survive a search.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields, replace
from functools import cache
from importlib import import_module
from typing import Any

import torch
from typing_extensions import Self

from proxyhpo._seeding import preserved_random_state
from proxyhpo._streams import forgiving_streams

__all__ = ["TorchSettings", "device_here", "isolated"]

logger = logging.getLogger("proxyhpo")


@dataclass(frozen=True)
class TorchSettings:
    """Settings that scripts make once for all that follows; plain data, so that they travel.

    Args:
        dtype: the default dtype of floating-point tensors.
        device: the default device of tensors.
        deterministic: the debug mode of deterministic algorithms.
        cudnn_benchmark: whether cuDNN tries several algorithms.
        cudnn_deterministic: whether cuDNN uses deterministic ones alone.
    """

    dtype: torch.dtype
    device: str
    deterministic: int
    cudnn_benchmark: bool
    cudnn_deterministic: bool

    @classmethod
    def current(cls) -> Self:
        """Those in force in this process."""
        return cls(
            dtype=torch.get_default_dtype(),
            device=str(torch.get_default_device()),
            deterministic=torch.get_deterministic_debug_mode(),
            cudnn_benchmark=torch.backends.cudnn.benchmark,
            cudnn_deterministic=torch.backends.cudnn.deterministic,
        )

    def apply(self) -> None:
        """Puts them in force; what is in force already is left alone."""
        current = self.current()
        for field in fields(self):
            wanted = getattr(self, field.name)
            if wanted != getattr(current, field.name):
                getattr(self, f"_set_{field.name}")(wanted)

    def here(self) -> Self:
        """The same as this process names the device."""
        return replace(self, device=str(device_here(self.device)))

    def _set_dtype(self, dtype: torch.dtype) -> None:
        torch.set_default_dtype(dtype)

    def _set_device(self, device: str) -> None:
        torch.set_default_device(None if device == "cpu" else device)

    def _set_deterministic(self, mode: int) -> None:
        torch.set_deterministic_debug_mode(mode)

    def _set_cudnn_benchmark(self, value: bool) -> None:  # noqa: FBT001 - a value to be set
        torch.backends.cudnn.benchmark = value

    def _set_cudnn_deterministic(self, value: bool) -> None:  # noqa: FBT001 - likewise
        torch.backends.cudnn.deterministic = value


def device_here(device: str) -> torch.device:
    """The same device as this process names it: a worker that sees one GPU calls it cuda:0."""
    there = torch.device(device)
    if there.type == "cuda" and (there.index or 0) >= torch.cuda.device_count() > 0:
        return torch.device("cuda", 0)
    return there


@contextmanager
def isolated(settings: TorchSettings | None = None) -> Iterator[None]:
    """Puts back, when the block ends, what code in it commonly changes for the whole process.

    Those are global random states, gradient and inference mode, autocasting, the default dtype and
    device, determinism, anomaly detection, the number of threads, hooks on all modules and
    optimizers, the working directory and the standard streams. The block begins with gradients
    enabled; what it prints where printing is impossible is lost. Other threads wait where they
    enter such a block.

    Args:
        settings: of torch, in force inside the block; by default those of the process.
    """
    with ExitStack() as stack:
        stack.enter_context(preserved_random_state())
        stack.callback(TorchSettings.current().apply)
        stack.callback(torch.set_num_threads, torch.get_num_threads())
        stack.callback(
            torch.set_anomaly_enabled,
            torch.is_anomaly_enabled(),
            torch.is_anomaly_check_nan_enabled(),
        )
        stack.enter_context(_preserved_hooks())
        stack.enter_context(_preserved_directory())
        stack.enter_context(forgiving_streams())
        # It also puts back what else torch keeps for a thread: gradient mode and autocasting.
        stack.enter_context(torch.inference_mode(mode=False))
        if settings is not None:
            settings.apply()
        yield


@contextmanager
def _preserved_hooks() -> Iterator[None]:
    before = [dict(table) for table in _tables_of_hooks()]
    try:
        yield
    finally:
        for table, content in zip(_tables_of_hooks(), before, strict=True):
            if table != content:
                table.clear()
                table.update(content)


@cache
def _tables_of_hooks() -> list[dict[Any, Any]]:
    """Of hooks on every module and every optimizer; torch has no public list of them."""
    return [
        table
        for module in ("torch.nn.modules.module", "torch.optim.optimizer")
        for name, table in vars(import_module(module)).items()
        if name.startswith("_global_") and isinstance(table, dict)
    ]


@contextmanager
def _preserved_directory() -> Iterator[None]:
    try:
        directory = os.getcwd()  # noqa: PTH109 - a str is all that is needed
    except FileNotFoundError:  # it has been deleted, and there is none to go back to
        yield
        return
    try:
        yield
    finally:
        try:
            os.chdir(directory)
        except OSError as error:
            logger.warning("cannot return to the working directory %r: %s", directory, error)
