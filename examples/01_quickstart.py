"""Tunes a small convolutional network on handwritten digits by searching on a pruned copy."""

from collections.abc import Iterator
from typing import Any

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from proxyhpo import Choice, Float, ProxyHPO

torch.set_num_threads(1)  # for networks as small as this one, more threads are slower

torch.manual_seed(0)

# Real data: 1,797 images of handwritten digits, 8x8, in three parts.
digits = load_digits()
images = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 16
labels = torch.tensor(digits.target)
train, validation, test = torch.randperm(len(images)).split([1000, 400, 397])


def build() -> nn.Module:
    """The full network, a new one at every call."""
    return nn.Sequential(
        nn.Conv2d(1, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(),
        nn.Conv2d(64, 128, 3, padding=1), nn.BatchNorm2d(128), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(128, 128, 3, padding=1), nn.BatchNorm2d(128), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(128 * 2 * 2, 10),
    )  # fmt: skip


def accuracy(network: nn.Module, part: Tensor) -> float:
    """Fraction of the images of a part that the network classifies correctly."""
    network.eval()
    with torch.no_grad():
        return (network(images[part]).argmax(1) == labels[part]).float().mean().item()


def fit(network: nn.Module, config: dict[str, Any], epochs: int = 4) -> Iterator[float]:
    """An ordinary training loop that yields its validation accuracy after each epoch."""
    optimizer = torch.optim.SGD(
        network.parameters(),
        lr=config["lr"],
        momentum=config["momentum"],
        weight_decay=config["weight_decay"],
    )
    for _ in range(epochs):
        network.train()
        for batch in train[torch.randperm(len(train))].split(config["batch_size"]):
            optimizer.zero_grad()
            cross_entropy(network(images[batch]), labels[batch]).backward()
            optimizer.step()
        yield accuracy(network, validation)


hpo = ProxyHPO(
    build,
    fit,
    {
        "lr": Float(1e-4, 1, log=True),
        "momentum": Float(0, 0.99),
        "weight_decay": Float(1e-6, 1e-2, log=True),
        "batch_size": Choice([16, 32, 64, 128]),
    },
    example_inputs=images[:64],
    direction="maximize",
)

if __name__ == "__main__":
    result = hpo.run(n_trials=30, finalists=3)
    print(result)
    print(f"test accuracy of the best network: {accuracy(result.best_network(), test):.4f}")
