"""The network of a training, with the weights that it left."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor, nn

from proxyhpo._networks.loading import load
from proxyhpo._records.records import Config, Record
from proxyhpo.errors import ArgumentError, StoreError

__all__ = ["trained_network"]


def trained_network(
    record: Record,
    weights: Mapping[str, Tensor],
    build: Callable[[Config], nn.Module] | None,
    network: nn.Module | None,
) -> nn.Module:
    """The network in eval mode.

    Args:
        record: of the training.
        weights: its weights.
        build: makes the network, if there is code for it.
        network: the network to load the weights into instead, if given.

    Raises:
        ArgumentError: if there is neither a network nor code to build one.
        StoreError: if the weights do not fit the network.
    """
    if network is None:
        if build is None:
            raise ArgumentError(
                "best_network: this result was loaded without code to build the network; "
                f"pass a network, best_network(network), with the architecture of {record.config}"
            )
        network = build(record.config)
    try:
        load(network, weights)
    except RuntimeError as error:
        raise StoreError(
            f"the weights of trial {record.trial} do not fit the network ({error}); "
            "best_weights() returns them as they are"
        ) from error
    return network.eval()
