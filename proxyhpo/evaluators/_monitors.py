"""Warns if the name of a metric contradicts the direction of a study."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from proxyhpo.evaluators._interface import Direction

__all__ = ["check_monitor"]

logger = logging.getLogger("proxyhpo")

_LOWER_IS_BETTER = re.compile("loss|error|perplexity", re.IGNORECASE)
_HIGHER_IS_BETTER = re.compile(r"(?<![a-z])(acc(uracy)?|auc|auroc|f1)(?![a-z])", re.IGNORECASE)
_NEGATED = re.compile(r"(?<![a-z])(neg|negative|minus)(?![a-z])", re.IGNORECASE)


def check_monitor(monitor: str, direction: Direction) -> None:
    """Logs a warning for a loss that is maximized, or an accuracy that is minimized.

    Args:
        monitor: name of the metric that is the value of a training.
        direction: of the study.
    """
    if _NEGATED.search(monitor):  # such as scikit-learn's neg_mean_squared_error
        return
    if _LOWER_IS_BETTER.search(monitor):
        better: Direction = "minimize"
    elif _HIGHER_IS_BETTER.search(monitor):
        better = "maximize"
    else:
        return
    if direction != better:
        logger.warning(
            "direction is %r, but monitor is %r, which is usually %sd: did you mean direction=%r?",
            direction,
            monitor,
            better,
            better,
        )
