"""Tunes the fine-tuning of a pretrained network: proxies inherit its weights.

A small convolutional network is trained on the digits 0 to 4 and then fine-tuned on few images of
the digits 5 to 9. proxyhpo builds it twice to detect which weights are pretrained; only the new
head is initialised. Pruned copies of a pretrained network rank configs less reliably than those of
a new one. So the default proxy keeps half of the channels, and this script trains more finalists.
"""

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from proxyhpo import Choice, Config, Float, ProxyHPO

torch.set_num_threads(1)  # for networks as small as this one, more threads are slower
torch.manual_seed(0)

digits = load_digits()
images = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 16
labels = torch.tensor(digits.target)
first = torch.nonzero(labels < 5)[:, 0]
train, validation, test = torch.nonzero(labels >= 5)[:, 0].split([150, 300, 446])


def architecture() -> nn.Sequential:
    """A network for five classes."""
    return nn.Sequential(
        nn.Conv2d(1, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(),
        nn.Conv2d(64, 128, 3, padding=1), nn.BatchNorm2d(128), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(128, 128, 3, padding=1), nn.BatchNorm2d(128), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(128 * 2 * 2, 5),
    )  # fmt: skip


def fit(network: nn.Module, part: Tensor, optimizer: torch.optim.Optimizer, size: int) -> None:
    """Trains for one epoch."""
    network.train()
    for batch in part[torch.randperm(len(part))].split(size):
        optimizer.zero_grad()
        cross_entropy(network(images[batch]), labels[batch] % 5).backward()
        optimizer.step()


def accuracy(network: nn.Module, part: Tensor) -> float:
    """Fraction of the images of a part that the network classifies correctly."""
    network.eval()
    with torch.no_grad():
        return (network(images[part]).argmax(1) == labels[part] % 5).float().mean().item()


pretrained = architecture()
optimizer = torch.optim.Adam(pretrained.parameters(), lr=1e-3)
for _ in range(3):
    fit(pretrained, first, optimizer, 32)


def build() -> nn.Module:
    """The pretrained network with a new head."""
    network = architecture()
    network.load_state_dict(pretrained.state_dict())
    network[-1] = nn.Linear(128 * 2 * 2, 5)
    return network


def fine_tune(network: nn.Module, config: Config) -> float:
    """Trains for five epochs. The new head has its own learning rate."""
    *body, head = network.children()
    optimizer = torch.optim.AdamW(
        [
            {"params": nn.ModuleList(body).parameters(), "lr": config["lr"]},
            {"params": head.parameters(), "lr": config["head_lr"]},
        ],
        weight_decay=config["weight_decay"],
    )
    for _ in range(5):
        fit(network, train, optimizer, config["batch_size"])
    return accuracy(network, validation)


hpo = ProxyHPO(
    build,
    fine_tune,
    {
        "lr": Float(1e-5, 1e-1, log=True),
        "head_lr": Float(1e-4, 1, log=True),
        "weight_decay": Float(1e-5, 1e-1, log=True),
        "batch_size": Choice([8, 16, 32]),
    },
    example_inputs=images[:32],
    direction="maximize",
    finalists=5,
)

if __name__ == "__main__":
    result = hpo.run(n_trials=30)
    print(result)
    print(f"test accuracy {accuracy(result.best_network(), test):.4f}")
