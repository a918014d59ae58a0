"""Ask and tell: ask for a config, train it in your own loop, and tell the value.

The study is kept in a file. Stop this script at any time and start it again: the study resumes, and
asks again for each training whose value is missing. `python -m proxyhpo show 04_ask_and_tell.db`
shows its progress at any time.
"""

import time

import torch
from sklearn.datasets import load_diabetes
from torch import nn
from torch.nn.functional import mse_loss

from proxyhpo import Config, Float, Int, ProxyHPO

torch.set_num_threads(1)  # for networks as small as this one, more threads are slower

# Real data: the progression of diabetes in a year, and ten features to predict it from. Both are
# standardised.
data = load_diabetes()
inputs = torch.tensor(data.data, dtype=torch.float32) * len(data.data) ** 0.5
targets = torch.tensor(data.target, dtype=torch.float32)[:, None]
targets = (targets - targets.mean()) / targets.std()
train_inputs, validation_inputs = inputs.split([300, 142])
train_targets, validation_targets = targets.split([300, 142])


def build(config: Config) -> nn.Module:
    """A network with as many hidden layers as the config says."""
    layers: list[nn.Module] = [nn.Linear(10, 512), nn.ReLU()]
    for _ in range(config["hidden_layers"] - 1):
        layers += [nn.Linear(512, 512), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(512, 1))


def train(network: nn.Module, config: Config) -> float:
    """Validation error after 20 epochs, as a fraction of the variance."""
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=config["lr"], weight_decay=config["weight_decay"]
    )
    for _ in range(20):
        for batch in torch.randperm(300).split(50):
            optimizer.zero_grad()
            mse_loss(network(train_inputs[batch]), train_targets[batch]).backward()
            optimizer.step()
    with torch.no_grad():
        return mse_loss(network(validation_inputs), validation_targets).item()


study = ProxyHPO(
    build,
    train,
    {
        "hidden_layers": Int(1, 4),
        "lr": Float(1e-5, 1e-1, log=True),
        "weight_decay": Float(1e-4, 1, log=True),
    },
    example_inputs=train_inputs[:50],
    direction="minimize",
    store="04_ask_and_tell.db",
)

if __name__ == "__main__":
    print(f"{len(study.result.records)} trainings are in the file")
    with study:  # the file is open until the end of the block
        while (asked := study.ask(n_trials=30)) is not None:
            torch.manual_seed(asked.seed)
            network = asked.network()
            began = time.perf_counter()
            value = train(network, asked.trained_config)
            seconds = time.perf_counter() - began
            study.tell(asked, value, seconds=seconds, network=network)
            print(f"trial {asked.trial} at density {asked.density:g}: {value:.4f}")
        print(study.result)
        print(study.result.best_network())
