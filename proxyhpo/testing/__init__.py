"""Contract tests for plug-ins: subclass one and provide its fixture.

::

    from proxyhpo.testing import SearcherContract

    class TestMySearcher(SearcherContract):
        @pytest.fixture
        def searcher(self):
            return MySearcher()

They require pytest, on which proxyhpo itself does not depend.
"""

from typing import TYPE_CHECKING

import pytest

from proxyhpo._lazy import lazy_names

_MODULES = {
    "EvaluatorCase": "evaluators",
    "EvaluatorContract": "evaluators",
    "ExecutorContract": "executors",
    "OperatorRuleCase": "operator_rules",
    "OperatorRuleContract": "operator_rules",
    "PrunerCase": "pruners",
    "PrunerContract": "pruners",
    "SearcherContract": "searchers",
    "StopperContract": "stoppers",
    "TransferContract": "transfers",
}

# Makes a failed assert show its values, although it is not in a test file.
pytest.register_assert_rewrite(*(f"{__name__}.{module}" for module in set(_MODULES.values())))

if TYPE_CHECKING:
    from proxyhpo.testing.evaluators import EvaluatorCase, EvaluatorContract
    from proxyhpo.testing.executors import ExecutorContract
    from proxyhpo.testing.operator_rules import OperatorRuleCase, OperatorRuleContract
    from proxyhpo.testing.pruners import PrunerCase, PrunerContract
    from proxyhpo.testing.searchers import SearcherContract
    from proxyhpo.testing.stoppers import StopperContract
    from proxyhpo.testing.transfers import TransferContract

__all__ = [
    "EvaluatorCase",
    "EvaluatorContract",
    "ExecutorContract",
    "OperatorRuleCase",
    "OperatorRuleContract",
    "PrunerCase",
    "PrunerContract",
    "SearcherContract",
    "StopperContract",
    "TransferContract",
]

__getattr__ = lazy_names(__name__, _MODULES)
