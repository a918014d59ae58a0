"""Which hyperparameters the values depend on: permutation importance of a random forest.

The forest learns the ranks of the losses from the configs, as points of the unit cube. A
hyperparameter is important if the forest predicts unseen configs worse once the values of that
hyperparameter are shuffled (Breiman, 2001). Ranks prevent a few diverged trainings from dominating.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from proxyhpo._records.records import Record
    from proxyhpo._report.result import Result

__all__ = ["FEWEST", "Importance", "importance_of"]

FEWEST = 10
"""Minimum number of trainings of one rung."""

_USELESS = 0.1  # R² up to which a forest has learned nothing of note
_TREES = 50
_FOLDS = 5
_SHUFFLES = 5
_INTERVAL = (5, 95)  # percentiles


@dataclass(frozen=True)
class Importance:
    """How much worse a forest predicts the ranks without each hyperparameter.

    Args:
        rung: whose trainings were used.
        n: number of trainings.
        score: R² of the forest on unseen configs. If it is near 0 or below, the importances are
            meaningless.
        decrease: name → (mean, low, high): how much the score falls when the hyperparameter is
            shuffled, and the middle 90 % over the folds and shuffles. Most important first.
    """

    rung: int
    n: int
    score: float
    decrease: Mapping[str, tuple[float, float, float]]

    @property
    def is_meaningful(self) -> bool:
        """Whether the forest predicts unseen configs at all."""
        return self.score > _USELESS


def importance_of(result: Result, rung: int | None = None) -> Importance | None:
    """The importance of each hyperparameter, or None with fewer than :data:`FEWEST` trainings.

    Args:
        result: of a study.
        rung: whose trainings to use; by default the rung with the most. Stopped ones are omitted,
            since early values are not comparable.
    """
    boards = [_finished(result, index) for index in range(len(result.ladder))]
    index = max(range(len(boards)), key=lambda i: len(boards[i])) if rung is None else rung
    records = boards[index]
    if len(records) < FEWEST:
        return None
    x = np.array([result.space.encode(record.config) for record in records])
    y = np.arange(len(records)) / (len(records) - 1)  # records are sorted by loss
    score, drops = _cross_validated(x, y)
    low, high = np.percentile(drops, _INTERVAL, axis=1)
    mean = drops.mean(1)
    order = np.argsort(-mean, kind="stable").tolist()
    return Importance(
        rung=index,
        n=len(records),
        score=score,
        decrease={
            result.space.names[i]: (float(mean[i]), float(low[i]), float(high[i])) for i in order
        },
    )


def _finished(result: Result, rung: int) -> list[Record]:
    return [record for record in result.leaderboard(rung) if record.state == "finished"]


def _cross_validated(x: Any, y: Any) -> tuple[float, Any]:
    """R² on held-out folds, and its decreases, of shape (hyperparameters, folds and shuffles).

    Errors are relative to the variance of all ranks, since that of a small fold is unreliable.
    """
    from sklearn.ensemble import RandomForestRegressor  # noqa: PLC0415 - slow to import
    from sklearn.inspection import permutation_importance  # noqa: PLC0415
    from sklearn.model_selection import KFold  # noqa: PLC0415

    errors, drops = [], []
    for train, test in KFold(_FOLDS, shuffle=True, random_state=0).split(x):
        forest = RandomForestRegressor(n_estimators=_TREES, min_samples_leaf=2, random_state=0)
        forest.fit(x[train], y[train])
        errors.append((y[test] - forest.predict(x[test])) ** 2)
        shuffled = permutation_importance(
            forest,
            x[test],
            y[test],
            scoring="neg_mean_squared_error",
            n_repeats=_SHUFFLES,
            random_state=0,
        )
        drops.append(shuffled.importances)
    score = 1 - float(np.concatenate(errors).mean() / y.var())
    return score, np.concatenate(drops, axis=1) / y.var()
