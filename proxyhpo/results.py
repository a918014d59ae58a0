"""The parts of a :class:`~proxyhpo.Result`, and what else a study or ``inspect`` returns."""

from proxyhpo._proxy.inspection import Inspection, Layer
from proxyhpo._proxy.proxy import Proxy
from proxyhpo._records.correction import Correction
from proxyhpo._records.ending import Ending
from proxyhpo._records.history import Trial
from proxyhpo._records.known import KnownResult
from proxyhpo._records.opening import Measurement, Opening
from proxyhpo._records.records import Death
from proxyhpo._report.cost import Cost, RungCost
from proxyhpo._report.fidelity import Estimate, Fidelity, Verdict
from proxyhpo._report.importance import Importance
from proxyhpo._report.pilot import Check
from proxyhpo._session import Asked

__all__ = [
    "Asked",
    "Check",
    "Correction",
    "Cost",
    "Death",
    "Ending",
    "Estimate",
    "Fidelity",
    "Importance",
    "Inspection",
    "KnownResult",
    "Layer",
    "Measurement",
    "Opening",
    "Proxy",
    "RungCost",
    "Trial",
    "Verdict",
]
