"""The transfer that scales each layer's update by the fraction of the layer that was kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from typing_extensions import override

from proxyhpo._validation import check_number, suggesting
from proxyhpo.transfers._interface import Transfer
from proxyhpo.transfers._updates import Update, UpdateKind, UpdateRule, update_kind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxyhpo._records.history import History
    from proxyhpo.space import Space

__all__ = ["LayerwiseTransfer"]


@final
class LayerwiseTransfer(Transfer):
    """Keeps the config, and scales the updates of a proxy layer by layer.

    For a layer that keeps the fractions ``r_in`` of its inputs and ``r_out`` of its outputs, each
    update is multiplied by

    ================================================  =======================
    optimizer                                         factor
    ================================================  =======================
    SGD, with or without momentum                     r_out^.5 / r_in
    Adam, AdamW, RMSprop, Lion and similar ones       r_in^-exponent
    LAMB, LARS, Adafactor                             r_in^(.5 - exponent)
    Muon                                              1
    ================================================  =======================

    With an exponent of 1 the change of a layer's outputs does not depend on the width. By the
    spectral condition (Yang, Simon & Bernstein, "A Spectral Condition for Feature Learning",
    arXiv:2310.17813), an update's norm must be proportional to sqrt(fan-out / fan-in). The factors
    are for networks in the standard parametrization; those of muP (Yang et al., arXiv:2203.03466)
    follow from the same condition. The condition assumes that updates are aligned with a layer's
    inputs. If they are mostly noise, an exponent of .5 is right. Networks without normalisation
    layers diverge at learning rates for which 1 is too large; for these the default is .75.

    For biases, gains of norms, embeddings and positions ``r_in`` is 1. A weight that an embedding
    shares with the output layer is scaled like the output layer. Decoupled weight decay (AdamW's)
    is not scaled. Learning rate, schedule, parameter groups and gradient clipping are not changed,
    and no hyperparameter needs to be named as a learning rate.
    :func:`~proxyhpo.transfers.scaled_updates` describes how updates are scaled, and which are not.

    Args:
        exponent: for Adam and similar optimizers. By default 1 for networks with normalisation
            layers, and .75 for others.

    Raises:
        ArgumentError: if the exponent is not a finite number.

    >>> LayerwiseTransfer().exponents(None, None)
    {}
    """

    @suggesting
    def __init__(self, exponent: float | None = None) -> None:
        self.exponent = (
            None if exponent is None else check_number("LayerwiseTransfer: exponent", exponent)
        )

    @override
    def exponents(self, space: Space, history: History) -> Mapping[str, float]:
        """No exponents: the config is unchanged."""
        return {}

    @override
    def update_rule(self) -> UpdateRule:
        return self.layerwise

    def layerwise(self, update: Update) -> float | None:
        """The factor of an update; None if its optimizer is not known."""
        kind = update_kind(update)
        if kind is None:
            return None
        if kind is UpdateKind.PROPORTIONAL:
            return float(update.r_out**0.5 / update.r_in)
        if kind is UpdateKind.ORTHOGONAL:
            return _of_muon(update)
        exponent = self.exponent
        if exponent is None:
            exponent = 1.0 if update.has_norms else 0.75
        if kind is UpdateKind.RELATIVE:
            exponent -= 0.5
        return float(update.r_in**-exponent)

    def __repr__(self) -> str:
        return f"LayerwiseTransfer({'' if self.exponent is None else self.exponent})"


def _of_muon(update: Update) -> float:
    if update.group.get("adjust_lr_fn") != "match_rms_adamw":
        return 1.0
    # The entries of this variant have the same size at any width, so its norm grows.
    r_in, r_out = update.r_in, update.r_out
    return float((r_out / r_in / max(r_in, r_out)) ** 0.5)
