"""The networks whose steps are timed on a GPU, each with a usual batch and precision."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import resnet18, resnet50
from torchvision.models.vision_transformer import VisionTransformer

__all__ = ["NETWORKS", "TINY_NETWORKS", "Entry", "Step"]


class GPT(nn.Module):
    """A decoder-only transformer with learned positions and an untied head.

    Args:
        layers: of the decoder.
        width: of the residual stream; a head has 64 channels.
        context: tokens of a sequence.
        vocabulary: number of tokens.
    """

    def __init__(
        self, layers: int = 12, width: int = 768, context: int = 512, vocabulary: int = 8192
    ) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Parameter(0.02 * torch.randn(context, width))
        layer = nn.TransformerEncoderLayer(
            width, width // 64, 4 * width, 0.0, "gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocabulary, bias=False)
        self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(context))

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits of shape (B, context, vocabulary) for tokens of shape (B, context)."""
        x = self.tokens(tokens) + self.positions
        logits: Tensor = self.head(self.norm(self.layers(x, mask=self.mask, is_causal=True)))
        return logits


@dataclass(frozen=True)
class Entry:
    """A network to time.

    Args:
        name: as in the table.
        build: makes it.
        inputs: makes a batch.
        classes: number of classes.
        is_convolutional: whether it trains in ``channels_last``.
    """

    name: str
    build: Callable[[], nn.Module]
    inputs: Callable[[], Tensor]
    classes: int
    is_convolutional: bool = False


class Step:
    """A training step: bf16 autocast on a GPU, AdamW.

    Args:
        entry: the description of the network.
        network: the network of the entry, in any width.
        device: to train on.
    """

    def __init__(self, entry: Entry, network: nn.Module, device: torch.device) -> None:
        layout: dict[str, Any] = (
            {"memory_format": torch.channels_last} if entry.is_convolutional else {}
        )
        self.network = network.to(device, **layout).train()
        self.inputs = entry.inputs().to(device, **layout)
        with torch.no_grad():
            places = self._forward().shape[:-1]
        self._targets = torch.randint(entry.classes, places, device=device)
        self._optimizer = torch.optim.AdamW(network.parameters(), fused=device.type == "cuda")

    def __call__(self) -> None:
        """Forward, backward and update on one random batch."""
        loss = F.cross_entropy(self._forward().flatten(0, -2), self._targets.flatten())
        self._optimizer.zero_grad()
        loss.backward()
        self._optimizer.step()

    def capture(self) -> None:
        """Replays the network as CUDA graphs from now on, in the precision of the other steps."""
        # A graph cannot contain the cache of casted weights: it would replay stale ones.
        with self._autocast(cache_enabled=False):
            graphed = torch.cuda.make_graphed_callables(self.network, (self.inputs,))
        assert isinstance(graphed, nn.Module)  # what it returns for a module
        self.network = graphed

    def _forward(self) -> Tensor:
        with self._autocast():
            outputs: Tensor = self.network(self.inputs)
        return outputs.float()

    def _autocast(self, *, cache_enabled: bool = True) -> torch.autocast:
        return torch.autocast(
            self.inputs.device.type,
            torch.bfloat16,
            enabled=self.inputs.is_cuda,
            cache_enabled=cache_enabled,
        )


def _vit(layers: int, width: int, side: int) -> Callable[[], nn.Module]:
    return lambda: VisionTransformer(side, 16, layers, width // 64, width, 4 * width)


def _images(batch: int, side: int) -> Callable[[], Tensor]:
    return lambda: torch.randn(batch, 3, side, side)


def _tokens(batch: int, context: int, vocabulary: int) -> Callable[[], Tensor]:
    return lambda: torch.randint(vocabulary, (batch, context))


NETWORKS = (
    Entry("ResNet-18, 224", resnet18, _images(128, 224), 1000, is_convolutional=True),
    Entry("ResNet-50, 224", resnet50, _images(128, 224), 1000, is_convolutional=True),
    Entry("ViT-S/16, 224", _vit(12, 384, 224), _images(128, 224), 1000),
    Entry("GPT, 12 layers", GPT, _tokens(16, 512, 8192), 8192),
)

TINY_NETWORKS = (
    Entry("ResNet-18, 32", resnet18, _images(2, 32), 1000, is_convolutional=True),
    Entry("ViT, 32", _vit(1, 128, 32), _images(2, 32), 1000),
    Entry("GPT, 1 layer", lambda: GPT(1, 128, 8, 16), _tokens(2, 8, 16), 16),
)
"""Small networks for a smoke test, which takes a second on a CPU."""
