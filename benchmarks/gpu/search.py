"""Searches on a GPU: several proxies on one card, the defaults on CIFAR-10, and memory."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import resnet18

from benchmarks.gpu.memory import PeakMemory
from benchmarks.gpu.setup import Row, Setup, left_out
from benchmarks.image_files import cifar10_in
from proxyhpo import Config, Float, ProxyHPO, Record, Result, Rung
from proxyhpo.executors import InProcessExecutor, ProcessExecutor

__all__ = ["memory", "packing", "search"]

SPACE = {
    "lr": Float(1e-3, 1, log=True),
    "momentum": Float(0.5, 0.99),
    "weight_decay": Float(1e-5, 1e-2, log=True),
}
PACKED = (1, 2, 4, 8, 16)
BATCH_SIZE = 128


def packing(setup: Setup) -> Iterator[Row]:
    """Proxies per minute with increasing numbers of them on the device."""
    alone = None
    for workers in (1, 2) if setup.smoke else PACKED:
        case = f"{workers} proxies at once"
        with PeakMemory(setup.device) as used:
            rate = _packed(setup, workers)
        if rate is None:
            yield left_out(case)
            continue
        alone = alone or rate
        yield (
            case,
            f"{rate:.1f} trials a minute",
            f"{rate / alone:.2f} times one at a time",
            str(used),
        )


def search(setup: Setup) -> Iterator[Row]:
    """A search with the defaults, and what one on the full network would have cost."""
    trials, epochs = (3, 1) if setup.smoke else (16, 5)
    devices = [str(setup.device)]
    executors = {"one at a time": InProcessExecutor(), "packed": _executor("auto", devices)}
    for name, executor in executors.items():
        case = f"{trials} trials, {name}"
        began = time.perf_counter()
        with PeakMemory(setup.device) as used:
            result = _run(setup, trials, epochs, executor=executor)
        seconds = time.perf_counter() - began
        if result is None:
            yield left_out(case)
            continue
        full = result.cost.full_search_seconds
        accuracy = f", best validation accuracy {result.best_value:.3f}" if setup.data else ""
        yield (
            case,
            f"{seconds:.0f} s{accuracy}",
            "" if full is None else f"{seconds / full:.2f} of {full:.0f} s for a full search",
            str(used),
        )


def memory(setup: Setup) -> Iterator[Row]:
    """Memory allocated by this process after many trials, and after an out-of-memory error."""
    trials = 3 if setup.smoke else 50
    before = _allocated(setup.device)
    for fails in (False, True):
        result = _run(
            setup,
            trials,
            most=2 * BATCH_SIZE,
            greedy=fails,
            ladder=[Rung(0.125, keep=1), Rung(1)],
            searcher="random",
        )
        if result is None:
            yield left_out(f"{trials} trials, {'some of which fail' if fails else 'none fails'}")
            continue
        failures = len(result.failures)
        del result
        change = (_allocated(setup.device) - before) / 2**20
        after = f"{trials} trials, {failures} of which failed"
        yield after, f"{change:+.1f} MiB allocated", "before the trials", ""


def _packed(setup: Setup, workers: int) -> float | None:
    """Trials per minute while all workers are busy; None if time ran out."""
    ended: list[float] = []

    def note(record: Record) -> None:
        if record.rung == 0:
            ended.append(time.perf_counter())

    trials = 4 + 2 * workers if setup.smoke else max(9, 6 * workers)
    result = _run(
        setup,
        trials,
        ladder=[Rung(0.25, keep=1), Rung(1)],
        stopper=None,
        searcher="random",
        executor=_executor(workers, [str(setup.device)]),
        callbacks=[note],
    )
    if result is None:
        return None
    # Before that time workers may still be starting, and after it some have nothing left to do.
    first, last = trials // 3, trials - workers
    return 60 * (last - first) / (ended[last] - ended[first])


def _run(setup: Setup, trials: int, epochs: int = 1, **options: Any) -> Result | None:
    """The result of a search; None if no time is left for it, or if the deadline ended it."""
    if setup.seconds_left <= 0:
        return None
    study = _study(setup, epochs, **options)
    result = study.run(trials, timeout=max(1e-3, setup.seconds_left))
    n_trained = len({record.trial for record in result.records})
    return None if setup.seconds_left <= 0 or n_trained < trials else result


def _executor(workers: int | str, devices: list[str]) -> ProcessExecutor:
    return ProcessExecutor(workers, devices=devices)  # type: ignore[arg-type]


def _study(
    setup: Setup, epochs: int, most: int | None = None, *, greedy: bool = False, **options: Any
) -> ProxyHPO:
    """A search on CIFAR-10 with a ResNet-18, or a tiny one for a smoke test."""
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
    """Images (uint8, (N, 3, 32, 32)) and labels. The last sixth is for validation."""
    if setup.data is None:
        generator = torch.Generator().manual_seed(0)
        images = torch.randint(256, (6000, 3, 32, 32), generator=generator, dtype=torch.uint8)
        return images, torch.randint(10, (6000,), generator=generator)
    return cifar10_in(setup.data).train


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
    """Trains with Nesterov momentum, in bf16 on a GPU. Yields the validation accuracy of an epoch.

    If it is greedy, every second training asks for more memory than there is.
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


def _allocated(device: torch.device) -> int:
    """Bytes of this process's tensors on a GPU."""
    return torch.cuda.memory_allocated(device) if device.type == "cuda" else 0
