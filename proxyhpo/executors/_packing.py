"""Decides how many trainings share a GPU, by measuring the first ones.

A single proxy rarely fills a GPU, because launching its kernels takes longer than computing them.
Several trainings at once use the idle time, up to a number that depends on the network, the batch
size and the GPU.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch

from proxyhpo._records.run_id import RunId

__all__ = ["Packing", "cuda_memory"]

_GROWTH = 1.15
"""Doubling the number of trainings is kept if throughput grows by at least this factor."""
_REPORTS = 4  # per worker, to measure throughput
_FILLED = 0.9  # maximum fraction of a device's memory to use

Memory = Callable[[str], tuple[int, int]]
"""Device → (free, total) bytes, over all processes."""


class Packing:
    """Doubles the number of trainings per device while throughput grows and memory suffices.

    Throughput is the number of reports per second on the first rung, whose trainings are alike.
    Trainings on higher rungs need more memory, which is measured at the first report of each rung.
    Until then such a training has the device to itself.

    Args:
        devices: the shared devices; worker ``i`` uses ``devices[i % len(devices)]``.
        most: maximum number of trainings on each device.
        memory: reads the memory of a device.
        clock: returns seconds.
    """

    def __init__(
        self,
        devices: Sequence[str],
        most: int,
        *,
        memory: Memory | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._devices = devices
        self._most = most
        self._memory = memory or cuda_memory
        self._clock = clock
        self._levels = [1]
        self._reporting: set[int] = set()  # workers that have reported at this level
        self._began: float | None = None
        self._reports = 0

    @property
    def capacity(self) -> int:
        """Number of trainings on all devices together."""
        return self._each * len(self._devices)

    @property
    def _each(self) -> int:
        return self._levels[-1]

    def start(self) -> None:
        """Starts again with one training on each device. None may be running."""
        self._levels = [1]  # trainings per device: the levels kept so far, and the current one
        self._rate = 0.0  # throughput of the last level that was kept
        self._workers = 1  # highest number on each device so far
        self._is_settled = self._most == 1
        self._extra: dict[int, int] = {}  # rung → bytes more than a training of rung 0
        self._idle = [self._used(device) for device in self._devices]
        self._peaks = list(self._idle)
        self._restart()

    def report(self, place: int, run: RunId, running: Sequence[RunId]) -> None:
        """Uses a report to measure throughput, or the memory of a higher rung.

        Args:
            place: index of the worker that trains.
            run: the training that reports.
            running: all running trainings, including this one.
        """
        device = place % len(self._devices)
        if run.rung > 0 and run.rung not in self._extra:
            used = self._used(self._devices[device])
            self._extra[run.rung] = max(0, used - self._packed(device))
        if any(each.rung > 0 for each in running):
            self._restart()  # higher rungs slow the others down
            return
        self._peaks[device] = max(self._peaks[device], self._used(self._devices[device]))
        if not self._is_settled:
            self._count(place)

    def fits(self, place: int, run: RunId, others: Sequence[RunId]) -> bool:
        """Whether a training may start beside the others on its device."""
        if not others:
            return True
        above = [each.rung for each in (run, *others) if each.rung > 0]
        if any(rung not in self._extra for rung in above):
            return False
        device = place % len(self._devices)
        _, total = self._memory(self._devices[device])
        return self._packed(device) + sum(self._extra[rung] for rung in above) <= _FILLED * total

    def _count(self, place: int) -> None:
        """Counts a report once every worker has sent one, so that start-up time is excluded."""
        self._reporting.add(place)
        if len(self._reporting) < self.capacity:
            return
        if self._began is None:
            self._began = self._clock()
            return
        self._reports += 1
        if self._reports >= _REPORTS * self.capacity:
            self._decide(self._reports / max(1e-9, self._clock() - self._began))

    def _decide(self, rate: float) -> None:
        if rate < _GROWTH * self._rate:
            self._levels.pop()
            self._is_settled = True
            return
        self._rate = rate
        more = min(2 * self._each, self._most, *map(self._room, range(len(self._devices))))
        if more <= self._each:
            self._is_settled = True
            return
        self._levels.append(more)
        self._workers = more
        self._restart()

    def _room(self, device: int) -> int:
        """How many trainings of rung 0 fit into the device's memory."""
        _, total = self._memory(self._devices[device])
        each = self._bytes_each(device)
        return int((_FILLED * total - self._idle[device]) // each) if each else self._most

    def _packed(self, device: int) -> int:
        """Bytes in use when every worker of the device trains on rung 0."""
        return self._idle[device] + self._each * self._bytes_each(device)

    def _bytes_each(self, device: int) -> int:
        return (self._peaks[device] - self._idle[device]) // self._workers

    def _used(self, device: str) -> int:
        free, total = self._memory(device)
        return total - free

    def _restart(self) -> None:
        self._reporting = set()
        self._began = None
        self._reports = 0


def cuda_memory(device: str) -> tuple[int, int]:
    """(free, total) bytes of a CUDA device, over all processes."""
    return torch.cuda.mem_get_info(device)
