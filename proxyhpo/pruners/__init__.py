"""Pruners turn a network into a smaller one that stands in for it.

*Structured* pruners remove whole channels, so that the result is really smaller and faster. They
share :mod:`proxyhpo.channels` and differ only in the score of a channel: a new one is a subclass of
:class:`StructuredPruner` with one method. *Unstructured* pruners mask single weights. Parameters,
FLOPs and step time of the result are measured by the study, for every pruner in the same way.
"""

from proxyhpo.pruners._by_width import ByWidthPruner
from proxyhpo.pruners._interface import Pruned, Pruner
from proxyhpo.pruners._magnitude import MagnitudePruner
from proxyhpo.pruners._structured import L1StructuredPruner, RandomPruner, StructuredPruner

__all__ = [
    "ByWidthPruner",
    "L1StructuredPruner",
    "MagnitudePruner",
    "Pruned",
    "Pruner",
    "RandomPruner",
    "StructuredPruner",
]
