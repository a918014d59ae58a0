"""Searches on a GPU: several proxies on one card, the defaults on CIFAR-10, and memory."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import resnet18

from benchmarks.gpu.setup import Row, Setup
from benchmarks.gpu.steps import memory_text
from proxyhpo import Config, Float, ProxyHPO, Record, Rung
from proxyhpo.executors import InProcessExecutor, ProcessExecutor

__all__ = ["memory", "packing", "search"]

SPACE = {
    "lr": Float(1e-3, 1, log=True),
    "momentum": Float(0.5, 0.99),
    "weight_decay": Float(1e-5, 1e-2, log=True),
}
PACKED = (1, 2, 4, 8, 16)
BATCH_SIZE = 128
_GIB = 2**30


def packing(setup: Setup) -> Iterator[Row]:
    """Proxies per minute with increasing numbers of them on the device."""
    alone = None
    for workers in (1, 2) if setup.smoke else PACKED:
        rate, used = _packed(setup, workers)
        alone = alone or rate
        yield (
            f"{workers} proxies at once",
            f"{rate:.1f} trials a minute",
            f"{rate / alone:.2f} times one at a time",
            used,
        )


def search(setup: Setup) -> Iterator[Row]:
    """A search with the defaults, and what one on the full network would have cost."""
    trials, epochs = (3, 1) if setup.smoke else (16, 5)
    devices = [str(setup.device)]
    executors = {"one at a time": InProcessExecutor(), "packed": _executor("auto", devices)}
    for name, executor in executors.items():
        began = time.perf_counter()
        result = _study(setup, epochs, executor=executor).run(trials)
        seconds = time.perf_counter() - began
        cost = result.cost
        full = cost.full_search_seconds
        yield (
            f"{trials} trials, {name}",
            f"{seconds:.0f} s, best validation accuracy {result.best_value:.3f}",
            "" if full is None else f"{seconds / full:.2f} of {full:.0f} s for a full search",
            memory_text(setup.device),
        )


def memory(setup: Setup) -> Iterator[Row]:
    """Memory allocated by this process after many trials, and after an out-of-memory error."""
    trials = 3 if setup.smoke else 50
    held = [_held(setup.device)]
    for fails in (False, True):
        study = _study(
            setup,
            epochs=1,
            most=2 * BATCH_SIZE,
            greedy=fails,
            ladder=[Rung(0.125, keep=1), Rung(1)],
            searcher="random",
        )
        failures = len(study.run(trials).failures)
        del study
        held.append(_held(setup.device))
        after = f"{trials} trials, {failures} of which failed"
        change = held[-1] - held[0]
        yield after, f"{change / 2**20:+.1f} MiB allocated", "before the trials", ""


def _packed(setup: Setup, workers: int) -> tuple[float, str]:
    """Trials per minute while all workers are busy, and the memory used on the device."""
    ended: list[float] = []
    used: list[int] = []

    def note(record: Record) -> None:
        if record.rung == 0:
            ended.append(time.perf_counter())
            used.append(_used(setup.device))

    study = _study(
        setup,
        epochs=1,
        ladder=[Rung(0.25, keep=1), Rung(1)],
        stopper=None,
        searcher="random",
        executor=_executor(workers, [str(setup.device)]),
        callbacks=[note],
    )
    trials = 4 + 2 * workers if setup.smoke else max(9, 6 * workers)
    study.run(trials)
    # Earlier, workers may still be starting; later, some have nothing left to do.
    first, last = trials // 3, trials - workers
    rate = 60 * (last - first) / (ended[last] - ended[first])
    return rate, f"{max(used) / _GIB:.2f} GiB on the device" if max(used) else ""


def _executor(workers: int | str, devices: list[str]) -> ProcessExecutor:
    return ProcessExecutor(workers, devices=devices)  # type: ignore[arg-type]


def _study(
    setup: Setup, epochs: int, most: int | None = None, *, greedy: bool = False, **options: Any
) -> ProxyHPO:
    """A search on CIFAR-10 with a ResNet-18, or next to nothing for a smoke test."""
    most = 64 if setup.smoke else most
    images, labels = (part[:most] for part in _data(setup))
    size = 16 if setup.smoke else BATCH_SIZE
    train = partial(
        _train,
        images=images,
        labels=labels,
        epochs=epochs,
        batch_size=size,
        greedy=greedy,
        device=str(setup.device),
    )
    return ProxyHPO(
        _small if setup.smoke else _resnet,
        train,
        SPACE,
        example_inputs=images[:size].float() / 255,
        direction="maximize",
        device=str(setup.device),
        progress=False,
        **options,
    )


def _data(setup: Setup) -> tuple[Tensor, Tensor]:
    """Images (uint8, (N, 3, 32, 32)) and labels, the last sixth of them to validate with."""
    if setup.data is None:
        generator = torch.Generator().manual_seed(0)
        images = torch.randint(256, (6000, 3, 32, 32), generator=generator, dtype=torch.uint8)
        return images, torch.randint(10, (6000,), generator=generator)
    with np.load(setup.data) as arrays:
        images = torch.from_numpy(arrays["train_images"])
        return images, torch.from_numpy(arrays["train_labels"].astype(np.int64))


def _resnet() -> nn.Module:
    """ResNet-18 with a stem for images of 32x32."""
    network = resnet18(num_classes=10)
    network.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    network.maxpool = nn.Identity()
    return network


def _small() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 64, 3, 8), nn.BatchNorm2d(64), nn.ReLU(),
        nn.Conv2d(64, 64, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10),
    )  # fmt: skip


def _train(
    network: nn.Module,
    config: Config,
    *,
    images: Tensor,
    labels: Tensor,
    epochs: int,
    batch_size: int,
    device: str,
    greedy: bool,
) -> Iterator[float]:
    """Nesterov's momentum under bf16 on a GPU; yields the validation accuracy after each epoch.

    Every second training of a greedy one asks for more memory than there is.
    """
    if greedy and torch.rand(()) < 0.5:
        torch.empty(2**50, device=device)
    images, labels = images.to(device), labels.to(device)
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    n_train = len(images) * 5 // 6
    optimizer = torch.optim.SGD(network.parameters(), nesterov=True, **config)
    steps = epochs * -(-n_train // batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, config["lr"], steps)

    def logits(batch: Tensor) -> Tensor:
        with torch.autocast(batch.device.type, torch.bfloat16, batch.is_cuda):
            outputs: Tensor = network((batch.float() / 255 - 0.45) / 0.25)
        return outputs.float()

    for _ in range(epochs):
        network.train()
        for batch in torch.randperm(n_train, device=device).split(batch_size):
            optimizer.zero_grad()
            F.cross_entropy(logits(images[batch]), labels[batch]).backward()
            optimizer.step()
            schedule.step()
        network.eval()
        with torch.no_grad():
            right = [
                logits(batch).argmax(1) == truth
                for batch, truth in zip(
                    images[n_train:].split(1000), labels[n_train:].split(1000), strict=True
                )
            ]
        yield torch.cat(right).float().mean().item()


def _held(device: torch.device) -> int:
    if device.type != "cuda":
        return 0
    return torch.cuda.memory_allocated(device)


def _used(device: torch.device) -> int:
    """Bytes used on the device by all processes."""
    if device.type != "cuda":
        return 0
    free, total = torch.cuda.mem_get_info(device)
    return total - free
