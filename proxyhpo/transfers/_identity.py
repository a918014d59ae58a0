"""The transfer that changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from typing_extensions import override

from proxyhpo.transfers._interface import Transfer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxyhpo._records.history import History
    from proxyhpo.space import Space

__all__ = ["IdentityTransfer"]


@final
class IdentityTransfer(Transfer):
    """Trains a proxy with the full network's config, unchanged.

    This is the method of Lee & Yim (arXiv:2205.08695). It is right for hyperparameters that do
    not depend on the width, and the safe choice for pretrained networks. It is wrong for learning
    rates of networks that are trained from scratch, see
    :class:`~proxyhpo.transfers.PowerLawTransfer`.

    >>> IdentityTransfer().exponents(None, None)
    {}
    """

    @override
    def exponents(self, space: Space, history: History) -> Mapping[str, float]:
        """No exponents: nothing changes."""
        return {}

    def __repr__(self) -> str:
        return "IdentityTransfer()"
