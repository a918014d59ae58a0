"""Loads trained weights into a network made by ``build``, which may differ slightly."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from torch import Tensor, nn

__all__ = ["load"]

logger = logging.getLogger("proxyhpo")

_EXTRA = "_extra_state"  # torch's name for what get_extra_state returns


def load(network: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Loads the tensors in place.

    A buffer that is registered by the first forward pass does not exist yet; it is registered here.
    The extra state of a module may be any object, but only tensors are stored. Other kinds keep the
    value from ``build``, and a warning is logged.

    Args:
        network: has the architecture that was trained.
        state: a ``state_dict``, without values that are not tensors.

    Raises:
        RuntimeError: names the tensors that are missing, unexpected, or have other shapes.
    """
    result = network.load_state_dict(dict(state), strict=False)
    extra = [name for name in result.missing_keys if name.endswith(_EXTRA)]
    missing = [name for name in result.missing_keys if name not in extra]
    unexpected = [
        name for name in result.unexpected_keys if not _registered(network, name, state[name])
    ]
    if missing or unexpected:
        raise RuntimeError(f"missing: {missing}; unexpected: {unexpected}")
    if extra:
        logger.warning(
            "the extra state of %s is not a tensor and was not stored; build's value is used",
            ", ".join(
                name.removesuffix(_EXTRA).removesuffix(".") or "the network" for name in extra
            ),
        )


def _registered(network: nn.Module, name: str, tensor: Tensor) -> bool:
    """Registers a buffer in the module that lacks it; False if that is not possible."""
    path, _, leaf = name.rpartition(".")
    try:
        module = network.get_submodule(path)
    except AttributeError:
        return False
    if hasattr(module, leaf) and getattr(module, leaf) is not None:
        return False
    module.register_buffer(leaf, tensor.clone())
    return True
