"""Draws the pictures of the gallery; ``make docs`` calls it."""

import math
import random
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import nn

from proxyhpo import Choice, Float, Int, ProxyHPO, Result, Rung, plots

SPACE = {
    "lr": Float(1e-4, 1, log=True),
    "layers": Int(1, 8),
    "optimizer": Choice(["adam", "sgd"]),
    "momentum": Float(0, 0.95, when=("optimizer", "sgd")),
}


def build() -> nn.Module:
    """A network of which only the width matters here."""
    return nn.Sequential(nn.Linear(6, 64), nn.ReLU(), nn.Linear(64, 2))


def train(network, config):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201
    """Invented learning curves, so that the pictures are drawn in seconds and always alike."""
    width = network[0].out_features / 64
    if config["lr"] > 0.7:
        raise RuntimeError("the loss is infinite")
    quality = 0.95 - 0.03 * (math.log10(config["lr"]) + 2) ** 2 - 0.1 * (1 - width)
    quality -= 0.002 * (config["layers"] - 4) ** 2 + 0.03 * abs(config.get("momentum", 0.5) - 0.8)
    noise = random.Random(f"{config} {width}")  # noqa: S311 - no secret
    for epoch in range(1, 9):
        value = quality * (1 - math.exp(-epoch / 2.5)) + noise.gauss(0, 0.004)
        yield {"value": value, "seconds": epoch * (10 * width**2 + 0.1)}


def search() -> Result:
    """A search in which trials climb, stop and fail."""
    return ProxyHPO(
        build,
        train,
        SPACE,
        example_inputs=torch.zeros(8, 6),
        direction="maximize",
        ladder=[Rung(1 / 8, keep=10), Rung(1 / 2, keep=4), Rung(1)],
        searcher="random",
        stopper="median",
        progress=False,
        seed=1,
    ).run(30)


def draw_gallery(folder: Path) -> None:
    """Draws one picture for each plot.

    Args:
        folder: for the pictures; made if it is missing.
    """
    folder.mkdir(exist_ok=True)
    result = search()
    for name in plots.__all__:
        if name != "plot_summary":
            figure = Figure(figsize=(6.4, 4), layout="constrained")
            getattr(plots, name)(result, figure.subplots())
            figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
