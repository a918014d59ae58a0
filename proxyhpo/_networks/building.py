"""A fresh full network for every training, and which of its weights are pretrained.

Trials must not share weights: one that starts where another ended is not comparable with it. So
the user hands in a function that makes a new network at each call, or a network that is copied.
"""

from __future__ import annotations

import copy
import hashlib
import inspect
import weakref
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from proxyhpo._seeding import preserved_random_state, seed_everything
from proxyhpo.channels import unwrap
from proxyhpo.errors import ArgumentError, UnsupportedNetworkError

__all__ = ["Build", "Builder", "is_constant", "structure"]

Build = Callable[..., nn.Module] | nn.Module
"""Takes nothing, the config, or also ``width``; or a network, to be copied."""

_TWO_SEEDS = (1, 2)
_REMEMBERED = 100  # networks; each may have a thousand parameters with long names


class Builder:
    """Makes full networks, each a new one.

    Args:
        build: a callable that takes nothing, or the config as its one required argument (or as
            ``config``), and possibly ``width`` as well; or a network, which is copied.
        pretrained: True if all weights are pretrained, False if none is, None to find out.

    Raises:
        ArgumentError: if ``build`` cannot be called in one of these ways, or is a network and
            ``pretrained`` does not say whether its weights are worth keeping.
    """

    def __init__(self, build: Build, *, pretrained: bool | None = None) -> None:
        if pretrained not in (True, False, None):
            raise ArgumentError(f"pretrained must be True, False or None, got {pretrained!r}")
        if isinstance(build, nn.Module):
            if pretrained is None:
                raise ArgumentError(
                    f"build is a network ({type(build).__name__}), which does not tell whether "
                    "its weights are pretrained: say pretrained=True or False, or give a function "
                    "that makes a new network at each call"
                )
            self._call: Callable[..., nn.Module] = partial(copy.deepcopy, build)
            self._takes = _Takes()
        elif callable(build):
            self._call, self._takes = build, _told_by_signature(build)
        else:
            raise ArgumentError(
                f"build must be a function that makes a network, or a network, got {build!r}"
            )
        self._pretrained = pretrained
        self._examined: dict[Hashable, _Examined] = {}

    @property
    def takes_width(self) -> bool:
        """Whether the user's constructor can make narrow networks itself."""
        return self._takes.width

    @property
    def takes_config(self) -> bool:
        """Whether the network may depend on the config."""
        return self._takes.has_config

    def build(self, config: Mapping[str, Any], *, width: float = 1.0) -> nn.Module:
        """A new network, drawn from the global random states.

        Args:
            config: with objects in the place of their labels; in terms of the full network.
            width: 1 is the full network; less, only for a constructor that takes it.

        Raises:
            ArgumentError: if what was made is not a network.
            UnsupportedNetworkError: for lazy modules that have not run yet.
        """
        network = self._call(*self._takes.arguments(config), **self._takes.keywords(config, width))
        if not isinstance(network, nn.Module):
            raise ArgumentError(
                f"build must return an nn.Module, it returned {type(network).__name__}"
            )
        for name, parameter in network.named_parameters():
            if is_lazy(parameter):
                raise UnsupportedNetworkError(
                    f"build returned a network whose parameter {name!r} has no shape yet, since "
                    "its module is a lazy one: run it once on a batch before returning it"
                )
        return network

    def seeded(self, config: Mapping[str, Any], seed: int) -> nn.Module:
        """The same, from random states seeded with ``seed``; the caller's are put back."""
        with preserved_random_state():
            seed_everything(seed)
            return self.build(config)

    def shapes(self, config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
        """Parameter name → its shape in the full network."""
        return dict(self._examine(config).shapes)

    def is_perceptron(self, config: Mapping[str, Any]) -> bool:
        """Whether nothing in the full network but linear layers and batch norms has weights."""
        return self._examine(config).is_perceptron

    def layer_widths(self, config: Mapping[str, Any]) -> Sequence[int]:
        """How many outputs each layer of the full network has, in order of registration."""
        return self._examine(config).widths

    def pretrained(
        self, config: Mapping[str, Any], network: nn.Module | None = None
    ) -> frozenset[str]:
        """The names of the parameters that are pretrained.

        They come out equal from two builds under different seeds, and are not constant.

        Args:
            config: with objects in the place of their labels; in terms of the full network.
            network: one built from it, if at hand: nothing is built where another one of the same
                structure has been examined.

        Raises:
            ArgumentError: if ``build`` seeds torch itself, so that all weights come out equal.
        """
        examined = self._examine(config, network)
        if self._pretrained is not None:
            return frozenset(examined.shapes) if self._pretrained else frozenset()
        if examined.seeds_itself:
            raise ArgumentError(
                "build seeds torch's random state itself, so its new weights cannot be told from "
                "pretrained ones: leave the seeding out (every training is seeded anyway), or say "
                "pretrained=True or False"
            )
        return examined.equal

    def _examine(self, config: Mapping[str, Any], network: nn.Module | None = None) -> _Examined:
        """Builds twice; once in all where the network does not depend on the config."""
        key: Hashable = None
        if self._takes.has_config:
            key = None if network is None else (structure(network), _choices(config))
        examined = self._examined.get(key)
        if examined is None:
            examined = self._build_twice(config)
            if key is not None or not self._takes.has_config:
                self._remember(key, examined)
        return examined

    def _remember(self, key: Hashable, examined: _Examined) -> None:
        if len(self._examined) >= _REMEMBERED:
            del self._examined[next(iter(self._examined))]
        self._examined[key] = examined

    def _build_twice(self, config: Mapping[str, Any]) -> _Examined:
        """One network after the other, so that memory never holds two of them."""
        with preserved_random_state():
            seed_everything(_TWO_SEEDS[0])
            network = self.build(config)
            state = torch.get_rng_state()
            first = _digests(network)
            earlier = [weakref.ref(parameter) for parameter in network.parameters()]
            del network
            seed_everything(_TWO_SEEDS[1])
            network = self.build(config)
            seeds_itself = torch.equal(state, torch.get_rng_state())
        now = {id(parameter) for parameter in network.parameters()}
        if any(id(parameter) in now for ref in earlier if (parameter := ref()) is not None):
            raise ArgumentError(
                "build returned the same weights twice: it must make a new network at each call, "
                "or every training would go on from where the one before it ended. Hand in the "
                "network itself to have it copied."
            )
        return _Examined(
            shapes={name: tuple(p.shape) for name, p in unwrap(network).named_parameters()},
            equal=frozenset(
                name
                for name, digest in _digests(network).items()
                if digest is not None and first.get(name) == digest
            ),
            seeds_itself=seeds_itself,
            widths=tuple(_layer_widths(unwrap(network))),
            is_perceptron=all(
                isinstance(module, (nn.Linear, nn.BatchNorm1d))
                for module in unwrap(network).modules()
                if any(True for _ in module.parameters(recurse=False))
            ),
        )


@dataclass(frozen=True)
class _Examined:
    """What two builds showed."""

    shapes: Mapping[str, tuple[int, ...]]
    equal: frozenset[str]
    seeds_itself: bool
    widths: tuple[int, ...]
    is_perceptron: bool


def _layer_widths(network: nn.Module) -> Iterator[int]:
    """By the names that linear, convolutional and recurrent layers have for it."""
    for module in network.modules():
        for name in ("out_features", "out_channels", "hidden_size"):
            if isinstance(width := getattr(module, name, None), int):
                yield width


@dataclass(frozen=True)
class _Takes:
    """How a constructor wants to be called."""

    has_config: bool = False
    config_keyword: str | None = None
    width: bool = False

    def arguments(self, config: Mapping[str, Any]) -> tuple[dict[str, Any], ...]:
        return (dict(config),) if self.has_config and self.config_keyword is None else ()

    def keywords(self, config: Mapping[str, Any], width: float) -> dict[str, Any]:
        keywords: dict[str, Any] = {"width": width} if self.width else {}
        if self.config_keyword is not None:
            keywords[self.config_keyword] = dict(config)
        return keywords


def _told_by_signature(build: Callable[..., Any]) -> _Takes:
    try:
        parameters = inspect.signature(build).parameters.values()
    except (TypeError, ValueError):  # a builtin: it tells nothing, so it is given nothing
        return _Takes()
    named = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    others = [p for p in named if p.name != "width"]
    required = [p for p in others if p.default is p.empty]
    config = next((p for p in others if p.name == "config"), required[0] if required else None)
    unknown = [p.name for p in required if p is not config]
    if unknown:
        raise ArgumentError(
            "build may take nothing, the config, or the config and width; it also requires "
            f"{', '.join(unknown)}"
        )
    if config is None:
        return _Takes(width=len(others) < len(named))
    # A first argument may have any name; one that is not the first is called by its name.
    first = config is named[0] and config.kind is not config.KEYWORD_ONLY
    return _Takes(
        has_config=True,
        config_keyword=None if first else config.name,
        width=len(others) < len(named),
    )


def structure(network: nn.Module) -> bytes:
    """A digest of the names and shapes of its parameters.

    >>> structure(nn.Linear(2, 3)) == structure(nn.Linear(2, 3)) != structure(nn.Linear(2, 4))
    True
    """
    shapes = [(name, tuple(p.shape)) for name, p in unwrap(network).named_parameters()]
    return hashlib.blake2b(repr(shapes).encode(), digest_size=16).digest()


def _choices(config: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """What might choose between weights of equal shapes, one pretrained and one not: no float."""
    return tuple(
        sorted((name, repr(value)) for name, value in config.items() if type(value) is not float)
    )


def is_constant(tensor: Tensor) -> bool:
    """Whether all entries are equal, as of a bias of zeros or a gain of ones.

    >>> is_constant(torch.ones(3)), is_constant(torch.arange(3))
    (True, False)
    """
    return tensor.numel() <= 1 or bool((tensor == tensor.reshape(-1)[0]).all())


def _digests(network: nn.Module) -> dict[str, bytes | None]:
    """Parameter name → a digest of its values, None where they are constant."""
    return {
        name: None if is_constant(parameter) else _digest(parameter)
        for name, parameter in unwrap(network).named_parameters()
    }


def _digest(tensor: Tensor) -> bytes:
    values = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    return hashlib.blake2b(values.tobytes(), digest_size=16).digest()
