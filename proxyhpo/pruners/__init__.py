"""Pruners turn a network into a smaller one that stands in for it.

One strategy a file. *Structured* pruners remove whole channels, so that the network that comes
back is really smaller and faster; they share :mod:`proxyhpo.channels` and differ in one thing,
the score of a class of channels. *Unstructured* ones mask single weights. What was achieved is
not a pruner's business: :mod:`proxyhpo._proxy` measures every pruner alike.
"""

from proxyhpo.pruners._by_width import ByWidthPruner
from proxyhpo.pruners._channelwise import Channelwise
from proxyhpo.pruners._interface import Pruned, Pruner, TakesConstructor
from proxyhpo.pruners._l1_structured import L1StructuredPruner
from proxyhpo.pruners._magnitude import MagnitudePruner
from proxyhpo.pruners._random import RandomPruner

__all__ = [
    "ByWidthPruner",
    "Channelwise",
    "L1StructuredPruner",
    "MagnitudePruner",
    "Pruned",
    "Pruner",
    "RandomPruner",
    "TakesConstructor",
]
