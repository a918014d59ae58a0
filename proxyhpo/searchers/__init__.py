"""Searchers propose the configs to try next.

A searcher is a function of the history: it has settings but no state, so an interrupted study can
be resumed without pickling anything. It sees the results of rung 0 (the cheapest proxies). Whether
the best of those are also the best on the full network is checked by the climb.

Known methods are combinations: grid and random search implement only :class:`Searcher`; Bayesian
optimization and TPE fit a surrogate to ``history.observed()`` and treat ``history.pending`` as
already tried.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxyhpo._lazy import lazy_names
from proxyhpo.searchers._cmaes import CMAESSearcher
from proxyhpo.searchers._grid import GridSearcher
from proxyhpo.searchers._interface import Searcher
from proxyhpo.searchers._qmc import QMCSearcher
from proxyhpo.searchers._random import RandomSearcher

if TYPE_CHECKING:
    from proxyhpo.searchers._bayesian import BayesianSearcher
    from proxyhpo.searchers._tpe import TPESearcher

__all__ = [
    "BayesianSearcher",
    "CMAESSearcher",
    "GridSearcher",
    "QMCSearcher",
    "RandomSearcher",
    "Searcher",
    "TPESearcher",
]

__getattr__ = lazy_names(__name__, {"BayesianSearcher": "_bayesian", "TPESearcher": "_tpe"})
