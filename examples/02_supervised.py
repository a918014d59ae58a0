"""Tunes a classifier of digits with the built-in training loop.

The optimizer is a hyperparameter, and momentum is searched only for SGD. Before the search, the
script prints what the proxy keeps of each layer and how much faster its steps are.
"""

import torch
from sklearn.datasets import load_digits
from torch import nn

from proxyhpo import Choice, Float, ProxyHPO, inspect
from proxyhpo.evaluators import SupervisedEvaluator

torch.set_num_threads(1)  # for networks as small as this one, more threads are slower
torch.manual_seed(0)

digits = load_digits()
inputs = torch.tensor(digits.data, dtype=torch.float32) / 16
targets = torch.tensor(digits.target)
train, validation, test = torch.randperm(len(inputs)).split([1000, 400, 397])


def build() -> nn.Module:
    """A multi-layer perceptron, a new one at every call."""
    return nn.Sequential(
        nn.Linear(64, 1024), nn.ReLU(),
        nn.Linear(1024, 1024), nn.ReLU(),
        nn.Linear(1024, 10),
    )  # fmt: skip


hpo = ProxyHPO(
    build,
    SupervisedEvaluator(
        (inputs[train], targets[train]), (inputs[validation], targets[validation]), epochs=5
    ),
    {
        "optimizer": Choice(["sgd", "adamw"]),
        "lr": Float(1e-4, 1, log=True),
        "momentum": Float(0, 0.99, when=("optimizer", "sgd")),
        "weight_decay": Float(1e-6, 1e-1, log=True),
        "label_smoothing": Choice([0.0, 0.1]),
        "batch_size": Choice([16, 32, 64]),
    },
    example_inputs=inputs[:64],
)

if __name__ == "__main__":
    print(inspect(build, inputs[:64], density=0.25), end="\n\n")
    result = hpo.run(n_trials=40)
    print(result)
    outputs = result.best_network()(inputs[test])
    print(f"test accuracy {(outputs.argmax(1) == targets[test]).float().mean():.4f}")
