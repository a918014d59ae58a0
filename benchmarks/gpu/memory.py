"""Peaks of GPU memory, of this process and of all processes."""

from __future__ import annotations

import gc
import threading

import torch
from typing_extensions import Self

__all__ = ["PeakMemory", "reserved", "reset_peak"]

_GIB = 2**30
_SECONDS = 0.02  # between two samples


class PeakMemory:
    """The most memory that all processes together use on a device while a block runs.

    Worker processes count, with their CUDA contexts and caches; torch's own counters see only one
    process. A thread samples the device. The memory that is in use when the block begins is
    subtracted, after this process has emptied its cache.

    Args:
        device: the CUDA device to sample. On another device nothing is measured.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> Self:
        if self._device.type == "cuda":
            reset_peak(self._device)
            self._before = self._peak = self._used()
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        if self._device.type == "cuda":
            self._thread.join()

    def __str__(self) -> str:
        if self._device.type != "cuda":
            return ""
        return f"{(self._peak - self._before) / _GIB:.2f} GiB on the device"

    def _sample(self) -> None:
        while not self._is_over.wait(_SECONDS):
            self._peak = max(self._peak, self._used())

    def _used(self) -> int:
        free, total = torch.cuda.mem_get_info(self._device)
        return total - free


def reset_peak(device: torch.device) -> None:
    """Releases what this process has cached on a GPU, and resets torch's counters."""
    if device.type == "cuda":
        torch.cuda.init()  # resetting the counters does not initialise CUDA
        gc.collect()  # networks in reference cycles
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def reserved(device: torch.device) -> str:
    """The most memory that this process has reserved on a GPU since the last reset.

    Unlike the memory of its tensors, this includes the buffers of captured graphs.
    """
    if device.type != "cuda":
        return ""
    return f"{torch.cuda.max_memory_reserved(device) / _GIB:.2f} GiB reserved"
