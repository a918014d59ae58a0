"""Which devices each worker process sees."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

import torch

from proxyhpo.errors import ArgumentError

__all__ = ["automatic_workers", "cores", "environments"]


def environments(
    devices: Sequence[str | torch.device] | None, workers: int | None = None
) -> list[dict[str, str]]:
    """The environment variables of each worker, so that it sees only its own device.

    By default there is one worker for each device, or two if no devices are given.

    >>> environments(["cpu"], workers=2)
    [{'CUDA_VISIBLE_DEVICES': ''}, {'CUDA_VISIBLE_DEVICES': ''}]

    Raises:
        ArgumentError: for a device that does not exist, or that would have no worker.
    """
    if devices is None:
        return [{} for _ in range(2 if workers is None else workers)]
    if isinstance(devices, str) or not isinstance(devices, Sequence) or not devices:
        raise ArgumentError(f"devices must be a list with at least one device, got {devices!r}")
    if workers is None:
        workers = len(devices)
    if len(devices) > workers:
        raise ArgumentError(
            f"devices must list at most one device for each of the {workers} workers, got "
            f"{devices!r}"
        )
    return [{"CUDA_VISIBLE_DEVICES": _index(devices[i % len(devices)])} for i in range(workers)]


def _index(device: str | torch.device) -> str:
    if str(device) == "cpu":
        return ""
    match = re.fullmatch(r"cuda:(\d+)", str(device))
    if match is None or int(match[1]) >= torch.cuda.device_count():
        raise ArgumentError(
            f"devices: {device!r} is neither 'cpu' nor one of the {torch.cuda.device_count()} CUDA "
            "devices that torch sees ('cuda:0', 'cuda:1', ...)"
        )
    # If the study sees only some devices, its cuda:0 may have another physical number.
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return visible.split(",")[int(match[1])].strip() if visible else match[1]


def automatic_workers(
    devices: Sequence[str | torch.device] | None, threads: int
) -> tuple[list[str], int]:
    """The devices to use, and the maximum number of workers on each: one per core in total.

    Args:
        devices: given by the user. By default all CUDA devices, or the CPU if there are none.
        threads: torch threads of a worker.
    """
    if devices is None:
        devices = [f"cuda:{number}" for number in range(torch.cuda.device_count())] or ["cpu"]
    environments(devices)  # raises if a device is invalid
    names = [str(device) for device in devices]
    return names, max(1, cores() // threads // len(names))


def cores() -> int:
    """Number of CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
