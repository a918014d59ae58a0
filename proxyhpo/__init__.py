"""Hyperparameter optimization of PyTorch networks on a pruned copy of the network itself.

A *proxy* is a smaller network that stands in for the user's own (the *base*): a pruned copy of
it. proxyhpo searches on the proxy, climbs to the base with the few configs that earn it, and says
what that cost and whether the two agreed.
"""

from proxyhpo._hpo import ProxyHPO
from proxyhpo._proxy.inspection import inspect
from proxyhpo._records.records import Config, Record, Report
from proxyhpo._records.rung import Rung
from proxyhpo._report.result import Result
from proxyhpo.errors import ProxyHPOError
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
