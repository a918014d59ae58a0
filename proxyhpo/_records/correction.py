"""How the updates of one training on a proxy were scaled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from proxyhpo._records.fields import SCALE, TEXT, TEXTS, Kind, Stored, optional

__all__ = ["Correction"]


@dataclass(frozen=True)
class Correction(Stored):
    """How the updates of a training were scaled, layer by layer.

    Args:
        rule: the name of the rule that gave the factors.
        smallest: the smallest factor of all parameters that were updated; None if none was scaled.
        largest: the largest factor, likewise.
        optimizers: the classes of the optimizers whose updates were scaled, in order of first step.
        warnings: which updates were not scaled, and what to do about it.
    """

    WHAT: ClassVar[str] = "a correction"
    KINDS: ClassVar[Mapping[str, Kind]] = {
        "rule": TEXT,
        "smallest": optional(SCALE),
        "largest": optional(SCALE),
        "optimizers": TEXTS,
        "warnings": TEXTS,
    }

    rule: str
    smallest: float | None = None
    largest: float | None = None
    optimizers: Sequence[str] = ()
    warnings: Sequence[str] = ()
