"""Whether an installed proxyhpo works: run by `make dist`, outside the checkout."""

import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import torch
from torch import nn

import proxyhpo
from proxyhpo import Float, ProxyHPO

INPUTS = torch.randn(64, 8)
TARGETS = INPUTS.square().sum(1, keepdim=True)


def build() -> nn.Module:
    return nn.Sequential(
        nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1)
    )


def train(network, config):
    optimizer = torch.optim.SGD(network.parameters(), lr=config["lr"])
    for _ in range(3):
        optimizer.zero_grad()
        loss = (network(INPUTS) - TARGETS).square().mean()
        loss.backward()
        optimizer.step()
        yield loss.item()


def main() -> None:
    assert Path(proxyhpo.__file__).is_relative_to(sys.prefix), "this is not the installed package"
    installed = distribution("proxyhpo")
    names = {file.as_posix() for file in installed.files or ()}
    assert "proxyhpo/py.typed" in names, "type checkers would ignore the annotations"
    for part in installed.entry_points:
        if not part.module.startswith("proxyhpo.integrations."):  # these need optional libraries
            part.load()
    subprocess.run([sys.executable, "-I", "-m", "proxyhpo", "plugins"], check=True)
    hpo = ProxyHPO(
        build,
        train,
        {"lr": Float(1e-4, 1e-1, log=True)},
        example_inputs=INPUTS,
        direction="minimize",
        store="smoke.db",
        progress=False,
    )
    result = hpo.run(n_trials=4)
    assert 1e-4 <= result.best_config["lr"] <= 1e-1
    assert result.best_network()(INPUTS).shape == (64, 1)
    print(result)


if __name__ == "__main__":
    main()
