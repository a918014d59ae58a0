"""Hyperparameter optimization of PyTorch networks on a pruned copy of the network itself.

A *proxy* is a smaller network that stands in for the user's own (the *base*): a pruned copy of
it. proxyhpo searches on the proxy, climbs to the base with the few configs that earn it, and says
what that cost and whether the two agreed.
"""

from proxyhpo.errors import ProxyHPOError
from proxyhpo.hpo import ProxyHPO
from proxyhpo.proxy.inspection import inspect
from proxyhpo.records import Config, Record, Report
from proxyhpo.result import Result
from proxyhpo.rung import Rung
from proxyhpo.space import Choice, Float, Int, Space

__all__ = [
    "Choice",
    "Config",
    "Float",
    "Int",
    "ProxyHPO",
    "ProxyHPOError",
    "Record",
    "Report",
    "Result",
    "Rung",
    "Space",
    "inspect",
]
