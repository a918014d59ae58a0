"""Transfers adjust how a proxy is trained to the width of the network.

The best learning rate of a narrow network is larger than that of the full one (muP,
arXiv:2203.03466), so a proxy that is trained with the full network's learning rate ranks configs
wrongly. A transfer gives an exponent for each hyperparameter, and a proxy of width ratio ``r`` is
trained with ``value * r**exponent``. At density 1 nothing changes.

Alternatively, a transfer scales the updates of a proxy layer by layer and leaves the config
unchanged: see :class:`LayerwiseTransfer`.
"""

from proxyhpo.transfers._identity import IdentityTransfer
from proxyhpo.transfers._interface import Transfer
from proxyhpo.transfers._layerwise import LayerwiseTransfer
from proxyhpo.transfers._power_law import PowerLawTransfer
from proxyhpo.transfers._scaling import scaled_updates
from proxyhpo.transfers._updates import Update, UpdateKind, UpdateRule, update_kind

__all__ = [
    "IdentityTransfer",
    "LayerwiseTransfer",
    "PowerLawTransfer",
    "Transfer",
    "Update",
    "UpdateKind",
    "UpdateRule",
    "scaled_updates",
    "update_kind",
]
