"""A fresh full network for every training, and which of its weights are pretrained.

Trials must not share weights: a trial that continues from the weights of another is not comparable
with it. The user therefore provides a function that makes a new network at each call, or a network
that is copied.
"""

from __future__ import annotations

import hashlib
import weakref
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from proxyhpo._networks.constructor import Takes, told_by_signature
from proxyhpo._networks.origins import Origin, Origins, compared, origins, sampled
from proxyhpo._seeding import preserved_random_state, seed_everything
from proxyhpo.channels.find.skeleton import cloned, unwrap
from proxyhpo.errors import ArgumentError, ProxyHPOError, UnsupportedNetworkError, one_line

__all__ = ["Build", "Builder", "Examined", "structure"]

Build = Callable[..., nn.Module] | nn.Module
"""Takes nothing, the config, or also ``width``; or a network, which is copied."""

_TWO_SEEDS = (1, 2)
_REMEMBERED = 100  # networks; each may have a thousand parameters with long names


class Builder:
    """Makes full networks, a new one at each call.

    Args:
        build: a callable that takes nothing, or the config as its only required argument (or as
            ``config``), and optionally ``width``; or a network, which is copied.
        pretrained: True if all weights are pretrained, False if none is, None to detect it.
        pass_width: whether ``build`` is also called for narrow networks, so that the full one is
            requested with ``width=1``.

    Raises:
        ArgumentError: if ``build`` cannot be called in one of these ways, or is a network and
            ``pretrained`` is None.
    """

    def __init__(
        self, build: Build, *, pretrained: bool | None = None, pass_width: bool = False
    ) -> None:
        if pretrained not in (True, False, None):
            raise ArgumentError(f"pretrained must be True, False or None, got {pretrained!r}")
        if isinstance(build, nn.Module):
            if pretrained is None:
                raise ArgumentError(
                    f"build is a network ({type(build).__name__}), which does not show whether its "
                    "weights are pretrained: set pretrained=True or False, or pass a function that "
                    "makes a new network at each call"
                )
            self._call: Callable[..., nn.Module] = partial(cloned, build)
            self._takes = Takes()
        elif callable(build):
            self._call, self._takes = build, told_by_signature(build)
        else:
            raise ArgumentError(
                f"build must be a network, or a function that makes one, got {build!r}"
            )
        self._pretrained = pretrained
        self._full_width = 1.0 if pass_width else None
        self._examined: dict[Hashable, Examined] = {}

    @property
    def no_width(self) -> str | None:
        """Why the user's constructor cannot make narrow networks; None if it can."""
        return self._takes.no_fraction

    @property
    def finds_out(self) -> bool:
        """Whether pretrained weights are detected by building twice."""
        return self._pretrained is None

    @property
    def takes_config(self) -> bool:
        """Whether the network may depend on the config."""
        return self._takes.has_config

    def build(self, config: Mapping[str, Any], *, width: float | None = None) -> nn.Module:
        """A new network, drawn from the global random states.

        Args:
            config: in terms of the full network, with objects instead of labels.
            width: of a narrow network, below 1; only for a constructor that takes it.

        Raises:
            ArgumentError: if the result is not a network, or if ``build`` raises an exception for
                this config or width.
            UnsupportedNetworkError: for lazy modules that have not run yet.
        """
        keywords = self._takes.keywords(config, width or self._full_width)
        try:
            network = self._call(*self._takes.arguments(config), **keywords)
        except (ProxyHPOError, torch.OutOfMemoryError, MemoryError):
            raise
        except Exception as error:
            if not self._takes.has_config and "width" not in keywords:
                raise
            given = [f"config {dict(config)}"] if self._takes.has_config else []
            given += [f"width={keywords['width']:g}"] if "width" in keywords else []
            raise ArgumentError(
                f"build failed for {' and '.join(given)}: {one_line(error)}"
            ) from error
        if not isinstance(network, nn.Module):
            raise ArgumentError(f"build must return an nn.Module, got {type(network).__name__}")
        for name, parameter in network.named_parameters():
            if is_lazy(parameter):
                raise UnsupportedNetworkError(
                    f"build returned a network whose parameter {name!r} has no shape yet, since "
                    "its module is lazy: run the network once on a batch before returning it"
                )
        return network

    def seeded(self, config: Mapping[str, Any], seed: int) -> nn.Module:
        """The same, from random states seeded with ``seed``; the caller's states are restored."""
        with preserved_random_state():
            seed_everything(seed)
            return self.build(config)

    def examined(self, config: Mapping[str, Any], network: nn.Module | None = None) -> Examined:
        """The comparison of two builds of the full network, made once for each structure.

        Args:
            config: in terms of the full network, with objects instead of labels.
            network: a network built from the config, if available. Then nothing is built if a
                network of the same structure has been examined.

        Raises:
            ArgumentError: if ``build`` returns the same weights twice.
        """
        key: Hashable = None
        if self._takes.has_config:
            key = None if network is None else (structure(network), _choices(config))
        examined = self._examined.get(key)
        if examined is None:
            examined = self._build_twice(config)
            if key is not None or not self._takes.has_config:
                self._remember(key, examined)
        return examined

    def origins(
        self,
        config: Mapping[str, Any],
        network: nn.Module | None = None,
        unused: Collection[str] = (),
    ) -> Origins:
        """Which of its parameters are pretrained, and whether the network as a whole is.

        Args:
            config: see :meth:`examined`.
            network: see :meth:`examined`.
            unused: names of parameters that no output depends on; these are ignored.

        Raises:
            ArgumentError: if ``build`` seeds torch, so that all weights are equal in every build.
        """
        examined = self.examined(config, network)
        if self._pretrained is not None:
            names = examined.origin if self._pretrained else ()
            return Origins(frozenset(names), float(self._pretrained), self._pretrained)
        if examined.seeds_itself:
            raise ArgumentError(
                "build seeds torch's random state, so new weights cannot be distinguished from "
                "pretrained ones: remove the seeding (every training is seeded anyway), or set "
                "pretrained=True or False"
            )
        return origins(examined.origin, unused)

    def _remember(self, key: Hashable, examined: Examined) -> None:
        if len(self._examined) >= _REMEMBERED:
            del self._examined[next(iter(self._examined))]
        self._examined[key] = examined

    def _build_twice(self, config: Mapping[str, Any]) -> Examined:
        """Builds one network after the other, so that only one is in memory."""
        with preserved_random_state():
            seed_everything(_TWO_SEEDS[0])
            network = self.build(config)
            state = torch.get_rng_state()
            first = sampled(unwrap(network))
            earlier = [weakref.ref(parameter) for parameter in network.parameters()]
            del network
            seed_everything(_TWO_SEEDS[1])
            network = self.build(config)
            seeds_itself = torch.equal(state, torch.get_rng_state())
            origin = compared(unwrap(network), first)
        now = {id(parameter) for parameter in network.parameters()}
        if any(id(parameter) in now for ref in earlier if (parameter := ref()) is not None):
            raise ArgumentError(
                "build returned the same weights twice: it must make a new network at each call, "
                "or every training would continue from the weights of the previous one. Pass the "
                "network itself to have it copied."
            )
        network = unwrap(network)
        return Examined(
            shapes={name: tuple(p.shape) for name, p in network.named_parameters()},
            origin=origin,
            seeds_itself=seeds_itself,
            widths=dict(_layer_widths(network)),
        )


@dataclass(frozen=True)
class Examined:
    """The comparison of two builds.

    Args:
        shapes: parameter name → its shape.
        origin: parameter name → where its values come from.
        seeds_itself: whether ``build`` seeds torch's random state.
        widths: module name → number of outputs of each of its layers.
    """

    shapes: Mapping[str, tuple[int, ...]]
    origin: Mapping[str, Origin]
    seeds_itself: bool
    widths: Mapping[str, int]


def _layer_widths(network: nn.Module) -> Iterator[tuple[str, int]]:
    """Number of outputs, from the attributes of linear, convolutional and recurrent layers."""
    for name, module in network.named_modules():
        for attribute in ("out_features", "out_channels", "hidden_size"):
            if isinstance(width := getattr(module, attribute, None), int):
                yield name, width


def structure(network: nn.Module) -> bytes:
    """A digest of the names and shapes of the parameters.

    >>> structure(nn.Linear(2, 3)) == structure(nn.Linear(2, 3)) != structure(nn.Linear(2, 4))
    True
    """
    shapes = [(name, tuple(p.shape)) for name, p in unwrap(network).named_parameters()]
    return hashlib.blake2b(repr(shapes).encode(), digest_size=16).digest()


def _choices(config: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """The values that may switch between pretrained and new weights of equal shapes: no floats."""
    return tuple(
        sorted((name, repr(value)) for name, value in config.items() if type(value) is not float)
    )
