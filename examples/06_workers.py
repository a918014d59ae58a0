"""Trains in two worker processes, with a time limit for each training and a log.

A training that crashes or hangs does not affect the other worker. The functions below are sent to
the workers once, with the data that they use. The workers do not import this script, so
`if __name__ == "__main__"` is not needed for them.
"""

import logging
from collections.abc import Iterator

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy

from proxyhpo import Config, Float, ProxyHPO
from proxyhpo.executors import ProcessExecutor

torch.set_num_threads(1)  # as in the workers, so that step times measured here apply to them

logging.basicConfig(format="%(message)s")
logging.getLogger("proxyhpo").setLevel(logging.INFO)

digits = load_digits()
inputs = torch.tensor(digits.data, dtype=torch.float32) / 16
targets = torch.tensor(digits.target)


def build() -> nn.Module:
    """A wide multi-layer perceptron."""
    return nn.Sequential(
        nn.Linear(64, 1024), nn.ReLU(),
        nn.Linear(1024, 1024), nn.ReLU(),
        nn.Linear(1024, 10),
    )  # fmt: skip


def train(network: nn.Module, config: Config) -> Iterator[float]:
    """Trains on the first 1,000 images, and validates on the next 400."""
    optimizer = torch.optim.Adam(
        network.parameters(), lr=config["lr"], betas=(config["beta1"], 0.999)
    )
    for _ in range(5):
        for batch in torch.randperm(1000).split(50):
            optimizer.zero_grad()
            cross_entropy(network(inputs[batch]), targets[batch]).backward()
            optimizer.step()
        with torch.no_grad():
            outputs = network(inputs[1000:1400])
        yield (outputs.argmax(1) == targets[1000:1400]).float().mean().item()


hpo = ProxyHPO(
    build,
    train,
    {"lr": Float(1e-5, 1e-1, log=True), "beta1": Float(0.5, 0.99)},
    example_inputs=inputs[:50],
    direction="maximize",
    executor=ProcessExecutor(workers=2, trial_timeout=60),
    progress=False,
)

if __name__ == "__main__":
    print(hpo.run(n_trials=30, timeout=300))
