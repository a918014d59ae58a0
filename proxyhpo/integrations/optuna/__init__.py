"""Optuna's objectives, samplers and studies.

============================  ====================================================================
:func:`from_objective`        searches with an objective that was written for Optuna
:class:`OptunaSearcher`       proposes configs with one of Optuna's samplers
:func:`from_optuna`           adds the trials of an Optuna study as known results
:func:`to_optuna`             writes a result as Optuna studies, for its plots and its dashboard
============================  ====================================================================

Requires the extra ``optuna``.
"""

from __future__ import annotations

from proxyhpo.integrations.optuna._objective import from_objective
from proxyhpo.integrations.optuna._searcher import OptunaSearcher
from proxyhpo.integrations.optuna._studies import from_optuna, to_optuna

__all__ = ["OptunaSearcher", "from_objective", "from_optuna", "to_optuna"]
