"""Results of the full network from outside of the study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, ClassVar

from proxyhpo._records.fields import CONFIG, REAL, TEXT, Kind, Stored

if TYPE_CHECKING:
    from proxyhpo._records.records import Config

__all__ = ["KnownResult", "normal_scores"]


@dataclass(frozen=True)
class KnownResult(Stored):
    """The result of a config on the full network, from a training outside of the study.

    Args:
        config: in terms of the full network.
        value: in the user's direction.
        loss: the same, lower is better.
        source: where it comes from, in the user's words.
    """

    WHAT: ClassVar[str] = "a known result"
    KINDS: ClassVar[Mapping[str, Kind]] = {
        "config": CONFIG,
        "value": REAL,
        "loss": REAL,
        "source": TEXT,
    }

    config: Config
    value: float
    loss: float
    source: str = ""


def normal_scores(losses: Sequence[float]) -> list[float]:
    """Each loss as a quantile of the standard normal distribution, by its rank among the others.

    This makes losses of networks of different sizes comparable if the configs are similar (Salinas,
    Shen and Perrone, ICML 2020).

    >>> [round(score, 2) for score in normal_scores([0.9, 0.1, 0.5, 7.0, 0.1])]
    [0.52, -0.84, 0.0, 1.28, -0.84]
    """
    ordered = sorted(losses)
    first = {loss: rank for rank, loss in reversed(list(enumerate(ordered)))}
    last = {loss: rank for rank, loss in enumerate(ordered)}
    normal = NormalDist()
    return [normal.inv_cdf(((first[x] + last[x]) / 2 + 0.5) / len(ordered)) for x in losses]
