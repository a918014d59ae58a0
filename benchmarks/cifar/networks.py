"""Defines five networks of different kinds, and how each is trained.

Four classify images of 16x16: a residual network with batch normalisation under SGD, a VGG without
normalisation under AdamW, a vision transformer under AdamW, and a perceptron under SGD or AdamW.
The fifth is a transformer that predicts the next character of a text, under AdamW. The best
learning rate depends on the width in a different way in each of them, so it is not obvious that one
rule fits all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.text import VOCABULARY
from proxyhpo import Choice, Float, Space

__all__ = ["CONTEXT", "TASKS", "Task"]

CLASSES = 10
CONTEXT = 64  # characters


@dataclass(frozen=True)
class Task:
    """A network, its optimizer and the hyperparameters that are searched.

    Args:
        build: makes it.
        optimizer: makes its optimizer from the parameters and a config.
        space: of the hyperparameters.
        is_text: whether its inputs are sequences of characters; otherwise images.
    """

    build: Callable[[], nn.Module]
    optimizer: Callable[[nn.Module, Mapping[str, Any]], torch.optim.Optimizer]
    space: Space
    is_text: bool = False


class Residual(nn.Module):
    """A residual block of two convolutions (He et al., arXiv:1512.03385)."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.first = convolution(before, after, stride)
        self.second = convolution(after, after)
        self.first_norm, self.second_norm = nn.BatchNorm2d(after), nn.BatchNorm2d(after)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or before != after:
            self.shortcut = nn.Sequential(
                nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after)
            )

    def forward(self, inputs: Tensor) -> Tensor:
        """Maps (N, before, H, W) to (N, after, H / stride, W / stride)."""
        out = self.second_norm(self.second(F.relu(self.first_norm(self.first(inputs)))))
        return F.relu(out + self.shortcut(inputs))


class Attention(nn.Module):
    """A block of self-attention and a perceptron, with LayerNorm before each (arXiv:2010.11929)."""

    def __init__(self, dim: int, heads: int, *, causal: bool = False) -> None:
        super().__init__()
        self.heads, self.causal = heads, causal
        self.before_attention, self.before_mlp = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.query, self.key, self.value, self.out = (nn.Linear(dim, dim) for _ in range(4))
        self.mlp = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))
        self.dropout = nn.Dropout(0.0)

    def forward(self, tokens: Tensor) -> Tensor:
        """Maps (N, tokens, dim) to the same shape."""
        normed = self.before_attention(tokens)
        query, key, value = (
            each(normed).unflatten(2, (self.heads, -1)).transpose(1, 2)
            for each in (self.query, self.key, self.value)
        )
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=self.causal)
        tokens = tokens + self.dropout(self.out(mixed.transpose(1, 2).flatten(2)))
        out: Tensor = tokens + self.dropout(self.mlp(self.before_mlp(tokens)))
        return out


class VisionTransformer(nn.Module):
    """A vision transformer: 16 patches of 4x4, learned positions, mean pooling."""

    def __init__(self, dim: int, depth: int, heads: int) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, dim, 4, 4)
        self.positions = nn.Parameter(0.02 * torch.randn(1, 16, dim))
        self.blocks = nn.Sequential(*(Attention(dim, heads) for _ in range(depth)))
        self.norm, self.head = nn.LayerNorm(dim), nn.Linear(dim, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        """Maps images (N, 3, 16, 16) to logits (N, classes)."""
        tokens = self.patches(images).flatten(2).transpose(1, 2) + self.positions
        out: Tensor = self.head(self.norm(self.blocks(tokens)).mean(1))
        return out


class LanguageModel(nn.Module):
    """A causal transformer that predicts the next character."""

    def __init__(self, dim: int, depth: int, heads: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, dim)
        self.positions = nn.Parameter(0.02 * torch.randn(1, CONTEXT, dim))
        self.blocks = nn.Sequential(*(Attention(dim, heads, causal=True) for _ in range(depth)))
        self.norm, self.head = nn.LayerNorm(dim), nn.Linear(dim, VOCABULARY)

    def forward(self, characters: Tensor) -> Tensor:
        """Maps characters (N, context) to logits (N, context, vocabulary)."""
        tokens = self.embedding(characters) + self.positions
        out: Tensor = self.head(self.norm(self.blocks(tokens)))
        return out


def convolution(before: int, after: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(before, after, 3, stride, padding=1, bias=False)


def resnet() -> nn.Module:
    return nn.Sequential(
        convolution(3, 64, 2), nn.BatchNorm2d(64), nn.ReLU(),
        Residual(64, 64, 1), Residual(64, 128, 2),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, CLASSES),
    )  # fmt: skip


def vgg() -> nn.Module:
    layers: list[nn.Module] = []
    before = 3
    for after in (64, 96, 192, 256):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        before = after
    network = nn.Sequential(*layers, nn.Flatten(), nn.Linear(before, CLASSES))
    for layer in layers:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            assert layer.bias is not None, "a convolution has one by default"
            nn.init.zeros_(layer.bias)
    return network


def vit() -> nn.Module:
    return VisionTransformer(dim=192, depth=2, heads=3)


def perceptron(width: int) -> nn.Module:
    layers: list[nn.Module] = [nn.Flatten()]
    before = 3 * 16 * 16
    for _ in range(3):
        layers += [nn.Linear(before, width), nn.ReLU(), nn.Dropout(0.0)]
        before = width
    return nn.Sequential(*layers, nn.Linear(before, CLASSES))


def sgd(network: nn.Module, config: Mapping[str, Any]) -> torch.optim.Optimizer:
    return torch.optim.SGD(
        network.parameters(),
        lr=config["lr"],
        momentum=config["momentum"],
        weight_decay=config["weight_decay"],
        fused=True,
    )


def adamw(network: nn.Module, config: Mapping[str, Any]) -> torch.optim.Optimizer:
    return torch.optim.AdamW(
        network.parameters(),
        lr=config["lr"],
        betas=(config["beta1"], config.get("beta2", 0.999)),
        weight_decay=config["weight_decay"],
        fused=True,
    )


def either(network: nn.Module, config: Mapping[str, Any]) -> torch.optim.Optimizer:
    if config["optimizer"] == "sgd":
        return sgd(network, {**config, "lr": config["sgd_lr"]})
    return adamw(network, {**config, "lr": config["adamw_lr"]})


COMMON = {"batch_size": Choice([32, 64, 128]), "label_smoothing": Float(0.0, 0.3)}
ADAMW = {"weight_decay": Float(1e-4, 1.0, log=True), "beta1": Float(0.5, 0.98), **COMMON}

TASKS = {
    "resnet": Task(
        resnet,
        sgd,
        Space(
            {
                "lr": Float(3e-3, 3.0, log=True),
                "weight_decay": Float(1e-5, 1e-2, log=True),
                "momentum": Float(0.0, 0.98),
                **COMMON,
            }
        ),
    ),
    "vgg": Task(vgg, adamw, Space({"lr": Float(3e-5, 3e-2, log=True), **ADAMW})),
    "vit": Task(vit, adamw, Space({"lr": Float(3e-5, 3e-2, log=True), **ADAMW})),
    "perceptron": Task(
        partial(perceptron, 1024),
        either,
        Space(
            {
                "optimizer": Choice(["sgd", "adamw"]),
                "sgd_lr": Float(1e-3, 1.0, log=True, when=("optimizer", "sgd")),
                "momentum": Float(0.0, 0.98, when=("optimizer", "sgd")),
                "adamw_lr": Float(1e-5, 1e-2, log=True, when=("optimizer", "adamw")),
                "beta1": Float(0.5, 0.98, when=("optimizer", "adamw")),
                "weight_decay": Float(1e-5, 1e-1, log=True),
                "dropout": Float(0.0, 0.5),
                **COMMON,
            }
        ),
    ),
    "language": Task(
        partial(LanguageModel, dim=256, depth=4, heads=4),
        adamw,
        Space(
            {
                "lr": Float(3e-5, 3e-2, log=True),
                "warm_up": Float(0.0, 0.5),
                "beta1": Float(0.5, 0.98),
                "beta2": Float(0.9, 0.999),
                "weight_decay": Float(1e-4, 1.0, log=True),
                "batch_size": Choice([4, 8, 16]),
                "clipping": Float(0.1, 10.0, log=True),
                "dropout": Float(0.0, 0.3),
            }
        ),
        is_text=True,
    ),
}
"""Name → what is trained."""
