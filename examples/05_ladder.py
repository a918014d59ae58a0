"""A ladder of three rungs: narrow networks and short trainings first, then wider and longer ones.

40 configs are trained with a quarter of the channels and half of the epochs, the best 10 with half
of the channels, and the best 3 on the full network. `train` takes a budget, so its schedule ends
with the training. The first trial is a config that is given by hand (`enqueue`).
"""

import math
from collections.abc import Iterator

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy
from torch.optim.lr_scheduler import LambdaLR

from proxyhpo import Choice, Config, Float, ProxyHPO, Record, Rung

torch.set_num_threads(1)  # for networks as small as this one, more threads are slower
torch.manual_seed(0)

digits = load_digits()
images = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 16
labels = torch.tensor(digits.target)
train_part, validation_part, _ = torch.randperm(len(images)).split([1000, 400, 397])

EPOCHS = 4


def build() -> nn.Module:
    """A convolutional network without normalisation."""
    return nn.Sequential(
        nn.Conv2d(1, 64, 3, padding=1), nn.ReLU(),
        nn.Conv2d(64, 128, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(128, 128, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(128 * 2 * 2, 10),
    )  # fmt: skip


def train(network: nn.Module, config: Config, budget: float) -> Iterator[float]:
    """Yields the validation accuracy after each epoch; budget 0.5 means half of the epochs."""
    epochs = max(1, round(EPOCHS * budget))
    optimizer = torch.optim.SGD(
        network.parameters(), lr=config["lr"], momentum=config["momentum"], nesterov=True
    )
    cosine = LambdaLR(optimizer, lambda epoch: (1 + math.cos(math.pi * epoch / epochs)) / 2)
    for _ in range(epochs):
        for batch in train_part[torch.randperm(len(train_part))].split(config["batch_size"]):
            optimizer.zero_grad()
            cross_entropy(network(images[batch]), labels[batch]).backward()
            optimizer.step()
        cosine.step()
        with torch.no_grad():
            outputs = network(images[validation_part])
        yield (outputs.argmax(1) == labels[validation_part]).float().mean().item()


def announce(record: Record) -> None:
    """Prints the results of the full network. It is called with every new record."""
    if record.rung == 2 and record.value is not None:
        print(f"trial {record.trial}: {record.value:.4f} on the full network")


hpo = ProxyHPO(
    build,
    train,
    {
        "lr": Float(1e-4, 1, log=True),
        "momentum": Float(0.5, 0.99),
        "batch_size": Choice([32, 64, 128]),
    },
    example_inputs=images[:32],
    direction="maximize",
    ladder=[Rung(0.25, budget=0.5, keep=10), Rung(0.5, keep=3), Rung(1)],
    callbacks=[announce],
)
hpo.enqueue({"lr": 0.01, "momentum": 0.9, "batch_size": 32})

if __name__ == "__main__":
    result = hpo.run(n_trials=40)
    print(result)
    first, last = result.leaderboard(0)[0], result.leaderboard()[0]
    print(f"best trial on the first rung: {first.trial}, on the full network: {last.trial}")
