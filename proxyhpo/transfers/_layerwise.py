"""The transfer that scales each layer's update by what that layer has lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from typing_extensions import override

from proxyhpo.transfers._interface import Transfer
from proxyhpo.transfers._updates import Update, UpdateKind, UpdateRule, update_kind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxyhpo._records.history import History
    from proxyhpo.space import Space

__all__ = ["LayerwiseTransfer", "layerwise"]


@final
class LayerwiseTransfer(Transfer):
    """Keeps the config, and scales the updates of a proxy layer by layer.

    Of a layer that keeps ``r_in`` of its inputs and ``r_out`` of its outputs, each update is
    multiplied by

    ================================================  ===================
    optimizer                                         factor
    ================================================  ===================
    SGD, with or without momentum                     r_out^.5 / r_in
    Adam, AdamW, RMSprop, Lion and others of a kind   1 / r_in
    LAMB, LARS, Adafactor                             r_in^-.5
    Muon                                              1
    ================================================  ===================

    This keeps the change of a layer's outputs independent of the width: by the spectral condition
    (Yang, Simon & Bernstein, "A Spectral Condition for Feature Learning", arXiv:2310.17813) an
    update's norm has to be proportional to sqrt(fan-out / fan-in). The factors are for networks in
    the standard parametrization; those of muP (Yang et al., arXiv:2203.03466) follow from the same
    condition. For biases, gains of norms, embeddings and positions ``r_in`` is 1. A weight that an
    embedding shares with the output layer counts as the output layer's. Decoupled weight decay
    (AdamW's) stays as it is written.

    Learning rate, schedule, parameter groups and gradient clipping are the user's own, and no
    hyperparameter has to be named as a learning rate. How it is done, and what it cannot scale:
    :func:`~proxyhpo.transfers.scaled_updates`.

    >>> LayerwiseTransfer().exponents(None, None)
    {}
    """

    @override
    def exponents(self, space: Space, history: History) -> Mapping[str, float]:
        """No exponents: the config stays what it is."""
        return {}

    @override
    def update_rule(self) -> UpdateRule:
        return layerwise

    def __repr__(self) -> str:
        return "LayerwiseTransfer()"


def layerwise(update: Update) -> float | None:
    """The factor of an update, by the optimizer's kind; see :class:`LayerwiseTransfer`."""
    kind = update_kind(update)
    return None if kind is None else factor(kind, update.r_in, update.r_out, update.group)


def factor(
    kind: UpdateKind, r_in: float, r_out: float, group: Mapping[str, object] | None = None
) -> float:
    """What an update of this kind is multiplied by.

    >>> factor(UpdateKind.PROPORTIONAL, 0.25, 0.25), factor(UpdateKind.NORMALISED, 0.25, 1)
    (2.0, 4.0)
    """
    if kind is UpdateKind.PROPORTIONAL:
        return float(r_out**0.5 / r_in)
    if kind is UpdateKind.NORMALISED:
        return 1 / r_in
    if kind is UpdateKind.RELATIVE:
        return float(r_in**-0.5)
    if (group or {}).get("adjust_lr_fn") == "match_rms_adamw":
        # This Muon gives entries of equal size, whatever the shape: its norm grows with the width.
        return float((r_out / r_in / max(r_in, r_out)) ** 0.5)
    return 1.0
