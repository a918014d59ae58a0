"""Hyperparameter optimization of PyTorch networks on a pruned copy of the network itself.

A *proxy* is a smaller network that stands in for the user's own (the *base*): a pruned copy of it.
proxyhpo searches on the proxy, trains the best few configs on the base, and reports what that cost
and whether the two agreed.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING

from proxyhpo._hpo import ProxyHPO
from proxyhpo._proxy.inspection import inspect
from proxyhpo._records.history import History
from proxyhpo._records.records import Config, Record
from proxyhpo._records.report import Report
from proxyhpo._records.rung import Rung
from proxyhpo._report.result import Result
from proxyhpo._report.stored import load_study
from proxyhpo.errors import ProxyHPOError
from proxyhpo.space import Choice, Float, Int, Space

__all__ = [
    "Choice",
    "Config",
    "Float",
    "History",
    "Int",
    "ProxyHPO",
    "ProxyHPOError",
    "Record",
    "Report",
    "Result",
    "Rung",
    "Space",
    "inspect",
    "load_study",
]

if TYPE_CHECKING:
    from proxyhpo import callbacks as callbacks
    from proxyhpo import plots as plots
    from proxyhpo import testing as testing

    __version__: str
else:  # hidden from type checkers, which would otherwise accept any name

    def __getattr__(name: str) -> object:
        """The version, and modules that ``import proxyhpo`` does not load."""
        if name == "__version__":
            return version("proxyhpo")
        if name in ("callbacks", "plots", "testing"):
            return import_module(f"proxyhpo.{name}")
        raise AttributeError(f"module 'proxyhpo' has no attribute {name!r}")
