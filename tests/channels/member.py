"""What a member of the zoo of networks is, and how networks become one."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from proxyhpo._inputs import Inputs

# Normalisations over channels: their statistics change when channels go, even dead ones.
ACROSS_CHANNELS = (nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.LocalResponseNorm)


@dataclass(frozen=True)
class Member:
    """A small network of one family, and what a proxy of it has to be.

    Args:
        name: what the tests call it.
        build: makes the network, with the weights of the current random state.
        inputs: makes a batch.
        flops: the largest FLOPs ratio allowed at density .5.
        narrow: makes the same network at half the width by its own constructor, where it has one.
        wide: makes it at the width at which a benchmark means something.
        coupled: patterns of names of parameters that act across channels, such as an attention
            whose scale follows the width; normalisation modules are known without.
        dead: whether the equivalence has a group that is free of such couplings.
        whole: pattern that the names or reasons of what is left whole must match, if anything is.
    """

    name: str
    build: Callable[[], nn.Module]
    inputs: Callable[[], Inputs]
    flops: float = 0.45
    narrow: Callable[[], nn.Module] | None = None
    wide: Callable[[], nn.Module] | None = None
    coupled: tuple[str, ...] = ()
    dead: bool = True
    whole: str | None = None

    def network(self, seed: int = 0) -> nn.Module:
        """The network with the weights of this seed, all biases and affines away from 0 and 1."""
        torch.manual_seed(seed)
        network = self.build()
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for tensor in network.parameters():
                if tensor.ndim <= 1 and tensor.is_floating_point():
                    tensor.add_(0.1 * torch.randn(tensor.shape, generator=generator))
        return network

    def acts_across(self, network: nn.Module, name: str) -> bool:
        """Whether this parameter takes part in something that depends on the count of channels."""
        module = network.get_submodule(name.rpartition(".")[0])
        return isinstance(module, ACROSS_CHANNELS) or any(re.search(p, name) for p in self.coupled)


ZOO: dict[str, Member] = {}


def register(name: str, build: Callable[[], nn.Module], inputs: Callable[[], Inputs], **expected):
    """Adds a network to the zoo."""
    assert name not in ZOO, name
    ZOO[name] = Member(name, build, inputs, **expected)


def member(inputs: Callable[[], Inputs], *, width: int = 32, name: str | None = None, **expected):
    """Adds a class whose one argument is the width; half of it is the narrow twin.

    ``twin=False`` where no constructor argument gives the widths that pruning gives.
    """
    narrow = width // 2 if expected.pop("twin", True) else None
    wide = expected.pop("wide", 4 * width)

    def add(constructor: Callable[..., nn.Module]):
        title = name or re.sub(r"(?<!^)(?=[A-Z])", "_", constructor.__name__).lower()
        expected["narrow"], expected["wide"] = (
            partial(constructor, other) if other else None for other in (narrow, wide)
        )
        register(title, partial(constructor, width), inputs, **expected)
        return constructor

    return add


def noise(*shape: int, seed: int = 0) -> Tensor:
    """Standard normal numbers, the same at every call."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def images(channels: int = 3, size: int = 8, batch: int = 4) -> Callable[[], Tensor]:
    """Makes batches of square images."""
    return partial(noise, batch, channels, size, size)


def vectors(features: int = 16, batch: int = 4) -> Callable[[], Tensor]:
    """Makes batches of feature vectors."""
    return partial(noise, batch, features)


def sequences(features: int = 8, length: int = 6, batch: int = 4) -> Callable[[], Tensor]:
    """Makes batches of (length, features)."""
    return partial(noise, batch, length, features)


def tokens(vocabulary: int = 11, length: int = 6, batch: int = 4) -> Callable[[], Tensor]:
    """Makes batches of token indices."""

    def make() -> Tensor:
        generator = torch.Generator().manual_seed(0)
        return torch.randint(vocabulary, (batch, length), generator=generator)

    return make
