"""CIFAR-10 with torchvision's data sets and transforms: a search on a pruned ResNet.

python examples/07_cifar.py --data FOLDER         # torchvision downloads CIFAR-10 into it
python examples/07_cifar.py --data cifar10.npz    # an archive of uint8 images (N, 3, 32, 32)
python examples/07_cifar.py                       # random images: only shows that it runs
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, Dataset, TensorDataset, random_split
from torchvision.datasets import CIFAR10, FakeData
from torchvision.models.resnet import BasicBlock, ResNet
from torchvision.transforms import v2

from proxyhpo import Config, Float, ProxyHPO

parser = argparse.ArgumentParser()
parser.add_argument("--data", type=Path)
path = parser.parse_args().data

device = "cuda" if torch.cuda.is_available() else "cpu"
to_image = v2.Compose([v2.ToImage(), v2.ToDtype(torch.uint8)])
augment = v2.Compose([v2.RandomCrop(32, padding=4), v2.RandomHorizontalFlip()])
normalize = v2.Compose([
    v2.ToDtype(torch.float32, scale=True),
    v2.Normalize([0.491, 0.482, 0.447], [0.247, 0.243, 0.262]),
])  # fmt: skip


def data_set() -> Dataset[Any]:
    """Images (uint8, 3x32x32) with their classes."""
    if path is None:
        return FakeData(160, (3, 32, 32), transform=to_image)
    if path.is_dir():
        return CIFAR10(path, transform=to_image, download=True)
    arrays = np.load(path)
    images, labels = arrays["train_images"], arrays["train_labels"].astype(np.int64)
    return TensorDataset(torch.from_numpy(images), torch.from_numpy(labels))


parts = random_split(data_set(), [0.8, 0.2], torch.Generator().manual_seed(0))
validation = DataLoader(parts[1], batch_size=500)


def build() -> nn.Module:
    """ResNet-18 with one block per stage instead of two."""
    return ResNet(BasicBlock, [1, 1, 1, 1], num_classes=10)


def train(network: nn.Module, config: Config) -> Iterator[float]:
    """SGD with a cosine schedule; yields the validation accuracy after each epoch."""
    network.to(device)
    optimizer = torch.optim.SGD(network.parameters(), nesterov=True, **config)
    epochs = 1 if path is None else 10
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    for _ in range(epochs):
        network.train()
        for images, labels in DataLoader(parts[0], batch_size=64, shuffle=True):
            outputs = network(normalize(augment(images)).to(device))
            optimizer.zero_grad()
            cross_entropy(outputs, labels.to(device)).backward()
            optimizer.step()
        cosine.step()
        network.eval()
        with torch.no_grad():
            right = sum(
                (network(normalize(images).to(device)).argmax(1).cpu() == labels).sum().item()
                for images, labels in validation
            )
        yield right / len(parts[1])


hpo = ProxyHPO(
    build,
    train,
    {
        "lr": Float(1e-3, 1, log=True),
        "momentum": Float(0.5, 0.99),
        "weight_decay": Float(1e-5, 1e-2, log=True),
    },
    example_inputs=torch.zeros(64, 3, 32, 32),
    direction="maximize",
)

if __name__ == "__main__":
    print(hpo.run(n_trials=20))
