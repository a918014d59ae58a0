"""The networks that ``benchmarks.networks`` makes proxies of, at their full size."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn

from proxyhpo._inputs import Inputs, with_batch

__all__ = ["CATALOGUE", "Entry"]

# The tests' zoo has the networks that are written by hand; it carries no types.
_zoo: Any = importlib.import_module("tests.channels.zoo")
_by_hand: Any = importlib.import_module("tests.channels.zoo_images")
_sequences: Any = importlib.import_module("tests.channels.zoo_sequences")
_transformers: Any = importlib.import_module("tests.channels.zoo_transformers")


@dataclass(frozen=True)
class Entry:
    """A network of the table.

    Args:
        name: as in the table.
        family: the heading of its table.
        build: makes the network, for training from scratch.
        inputs: makes a batch with the given number of examples.
        asked: the largest FLOPs ratio that its proxy may have at density .5.
        batch: how many examples a step takes.
    """

    name: str
    family: str
    build: Callable[[], nn.Module]
    inputs: Callable[[int], Inputs]
    asked: float
    batch: int = 32


def _noise(*shape: int) -> Callable[[int], Inputs]:
    return lambda batch: torch.randn(batch, *shape)


def _image(size: int) -> Callable[[int], Inputs]:
    return _noise(3, size, size)


def _torchvision(name: str) -> Callable[[], nn.Module]:
    """The constructor with this name. The network has its auxiliary heads, as in training."""

    def build() -> nn.Module:
        models: Any = importlib.import_module("torchvision.models")
        auxiliary = {"aux_logits": True, "init_weights": True}
        transformer = {"image_size": 64} if name == "vit_b_16" else {}
        network: nn.Module = models.get_model(
            name,
            weights=None,
            **(auxiliary if name in ("googlenet", "inception_v3") else transformer),
        )
        return network

    return build


def _timm(name: str) -> nn.Module:
    timm: Any = importlib.import_module("timm")
    network: nn.Module = timm.create_model(name, img_size=64)
    return network


def _torchvision_rows() -> list[Entry]:
    names = """resnet18 resnet50 wide_resnet50_2 resnext50_32x4d vgg16_bn densenet121 mobilenet_v2
        mobilenet_v3_small efficientnet_b0 mnasnet1_0 regnet_y_400mf convnext_tiny squeezenet1_0
        shufflenet_v2_x1_0 googlenet"""
    family = "torchvision CNNs"
    rows = [Entry(name, family, _torchvision(name), _image(64), 0.35) for name in names.split()]
    # Its auxiliary head, which training needs, does not work with smaller images.
    inception = _torchvision("inception_v3")
    return [*rows, Entry("inception_v3 at 299", family, inception, _image(299), 0.35, batch=2)]


def _transformer_rows() -> list[Entry]:
    family = "vision transformers"
    rows = [
        Entry("vit_b_16", family, _torchvision("vit_b_16"), _image(64), 0.35),
        Entry("swin_t", family, _torchvision("swin_t"), _image(64), 0.6),
        # Its windows do not fit into smaller images.
        Entry("maxvit_t at 224", family, _torchvision("maxvit_t"), _image(224), 0.6, batch=2),
    ]
    name = "vit_tiny_patch16_224"
    if importlib.util.find_spec("timm"):
        rows.append(Entry(f"timm {name}", family, partial(_timm, name), _image(64), 0.35))
    return rows


def _vgg() -> nn.Module:
    return _torchvision("vgg16_bn")()


def _densenet() -> nn.Module:
    densenet: Any = importlib.import_module("torchvision.models.densenet")
    network: nn.Module = densenet.DenseNet(12, (16, 16, 16), 24, num_classes=10)
    return network


def _paper_rows() -> list[Entry]:
    builders: dict[str, Callable[[], nn.Module]] = {
        "ResNet-56": partial(_by_hand.CifarResNet, 16, 9),
        "VGG16-BN": _vgg,
        "MobileNetV2": _torchvision("mobilenet_v2"),
        "DenseNet-BC-100": _densenet,
    }
    return [
        Entry(name, "the paper's, at 32x32", build, _image(32), 0.35)
        for name, build in builders.items()
    ]


def _tokens(batch: int) -> torch.Tensor:
    return torch.randint(8000, (batch, 64))


def _sequence_rows() -> list[Entry]:
    family, rows = "sequence models", []
    for kind in ("LSTM", "GRU"):
        for layers, directions, readout in ((1, 1, "last"), (2, 1, "mean"), (2, 2, "h_n")):
            name = f"{kind}, {layers} layers, {directions} directions, {readout}"
            build = partial(_sequences.Recurrent, 256, kind, layers, directions, readout)
            rows.append(Entry(name, family, build, _noise(32, 8), 0.45))
    rows += [
        Entry("TransformerEncoder", family, _Encoder, _tokens, 0.45),
        Entry("GPT, tied, fused qkv", family, _Gpt, _tokens, 0.45),
        Entry(
            "temporal CNN",
            family,
            partial(_sequences.TemporalConvolution, 128),
            _noise(64, 8),
            0.45,
        ),
    ]
    return rows


class _Encoder(nn.Module):
    """A classifier of token sequences."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(8000, 256)
        layer = nn.TransformerEncoderLayer(256, 8, 1024, dropout=0.1, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 4, enable_nested_tensor=False)
        self.head = nn.Linear(256, 10)

    def forward(self, tokens: torch.Tensor) -> Any:
        return self.head(self.encoder(self.embed(tokens)).mean(dim=1))


class _Gpt(nn.Module):
    """A language model whose head is its embedding."""

    def __init__(self, d: int = 256, heads: int = 8, length: int = 64) -> None:
        super().__init__()
        self.embed, self.place = nn.Embedding(8000, d), nn.Embedding(length, d)
        self.blocks = nn.Sequential(*(_transformers.Block(d, heads, length) for _ in range(4)))
        self.norm, self.head = nn.LayerNorm(d), nn.Linear(d, 8000, bias=False)
        nn.init.normal_(self.embed.weight, std=0.02)
        self.head.weight = self.embed.weight

    def forward(self, tokens: torch.Tensor) -> Any:
        x = self.embed(tokens) + self.place(torch.arange(tokens.shape[1], device=tokens.device))
        return self.head(self.norm(self.blocks(x)))


def _everyday_rows() -> list[Entry]:
    """The networks of the tests' zoo that are in no other family, in a larger width."""
    parts = ("convolutions", "perceptrons", "resolutions", "several", "weights")
    modules = {f"tests.channels.zoo_{part}" for part in parts}
    return [
        Entry(
            member.name,
            "everyday modules",
            member.wide or member.build,
            partial(_repeated, member.inputs),
            member.flops,
        )
        for member in _zoo.ZOO.values()
        if getattr(member.build, "func", member.build).__module__ in modules
    ]


def _repeated(inputs: Callable[[], Inputs], batch: int) -> Inputs:
    repeated: Inputs = with_batch(inputs(), batch)
    return repeated


CATALOGUE: Sequence[Entry] = (
    *_torchvision_rows(),
    *_transformer_rows(),
    *_paper_rows(),
    *_sequence_rows(),
    *_everyday_rows(),
)
