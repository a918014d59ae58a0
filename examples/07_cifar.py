"""CIFAR-10 with torchvision's data sets and transforms: a search on a pruned ResNet.

python examples/07_cifar.py --data FOLDER         # torchvision downloads CIFAR-10 into it
python examples/07_cifar.py --data cifar10.npz    # an archive of uint8 images (N, 3, 32, 32)
python examples/07_cifar.py                       # random images: only shows that it runs
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import random_split
from torchvision.datasets import CIFAR10, FakeData
from torchvision.models.resnet import BasicBlock, ResNet
from torchvision.transforms import v2

from proxyhpo import Float, ProxyHPO
from proxyhpo.evaluators import SupervisedEvaluator

parser = argparse.ArgumentParser()
parser.add_argument("--data", type=Path)
path = parser.parse_args().data

normalize = v2.Normalize([0.491, 0.482, 0.447], [0.247, 0.243, 0.262])
transform = v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True), normalize])
if path is None:
    train, validation = (FakeData(n, (3, 32, 32), transform=transform) for n in (160, 40))
elif path.suffix == ".npz":
    file = np.load(path)
    images = [transform(torch.from_numpy(file[f"{part}_images"])) for part in ("train", "val")]
    labels = [torch.from_numpy(file[f"{part}_labels"]).long() for part in ("train", "val")]
    train, validation = zip(images, labels, strict=True)
else:
    images = CIFAR10(path, transform=transform, download=True)
    train, validation = random_split(images, [0.9, 0.1], torch.Generator().manual_seed(0))

hpo = ProxyHPO(
    lambda: ResNet(BasicBlock, [1, 1, 1, 1], num_classes=10),  # half as deep as ResNet-18
    SupervisedEvaluator(train, validation, epochs=1 if path is None else 10),
    {"lr": Float(1e-3, 1, log=True), "momentum": Float(0.5, 0.99), "weight_decay": Float(0, 0.01)},
    example_inputs=torch.zeros(64, 3, 32, 32),
)

if __name__ == "__main__":
    print(hpo.run(n_trials=20))
