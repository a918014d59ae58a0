"""Ends a study whose first trainings all fail, with an error that explains why."""

from __future__ import annotations

import re

from proxyhpo._engine.study import Study
from proxyhpo._records.records import Record
from proxyhpo._runs import Outcome
from proxyhpo.channels.find.owned import UNUSED
from proxyhpo.errors import TrainingFailedError, is_about_sizes, unknown_name

__all__ = ["EXCEPTIONS_TO_GIVE_UP", "FAILURES_TO_GIVE_UP", "Judge"]

EXCEPTIONS_TO_GIVE_UP = 5

FAILURES_TO_GIVE_UP = 20
"""Failures of any kind. There may be more of them, since a high learning rate can give NaN."""


class Judge:
    """Ends the study if all of its first trainings fail."""

    def __init__(self, study: Study) -> None:
        self._study = study
        self._hopeful = any(record.value is not None for record in study.history.records)
        self._failed = 0
        self._raised: list[Record] = []

    def check(self, outcome: Outcome) -> None:
        """Checks that the evaluator can train at all; called before the outcome is recorded.

        Raises:
            EvaluatorError: if it cannot, and no training has succeeded yet.
        """
        if outcome.refusal is not None and not self._hopeful:
            raise outcome.refusal

    def consider(self, record: Record) -> None:
        """Counts a record.

        Raises:
            TrainingFailedError: at the fifth exception in a row, or the twentieth failure of any
                kind, if no training has succeeded yet.
        """
        self._hopeful = self._hopeful or record.value is not None
        if self._hopeful:
            return
        self._failed += 1
        if record.traceback is None:  # NaN, out of memory or a dead worker
            self._raised.clear()
        else:
            self._raised.append(record)
        if len(self._raised) >= EXCEPTIONS_TO_GIVE_UP:
            first = self._raised[0]
            raise TrainingFailedError(
                f"{first.reason} (the first of {len(self._raised)} trainings in a row that raised "
                f"an exception; none has succeeded). {_unknown_key(first)}{self._trained(first)}"
                f"{self._pruned_sizes(first)}The first traceback, with {first.trained_config}:\n\n"
                f"{first.traceback}"
            )
        if self._failed >= FAILURES_TO_GIVE_UP:
            raise TrainingFailedError(
                f"the first {self._failed} trainings all failed, the last one with "
                f"{record.reason!r} and {record.trained_config}. {self._trained(record)}Train "
                "the full network once with such a config, without a search, and check the loss, "
                "the metric and the data for values that are not finite. The results so far are in "
                "ProxyHPO.result"
            )

    def _trained(self, record: Record) -> str:
        """Says which proxy was trained; empty if it was the full network."""
        if (density := self._density(record)) == 1:
            return ""
        tried = any(other.rung == self._study.top for other in self._study.history.records)
        return (
            f"They trained a pruned copy of the network, at density {density:.3g}; the "
            f"full network has {'also' if tried else 'not'} been tried. "
        )

    def _density(self, record: Record) -> float:
        measured = self._study.history.measured.get(record.rung)
        return 1.0 if measured is None else measured.density

    def _pruned_sizes(self, record: Record) -> str:
        """How an exception may come from pruning, and what to do then; empty if it cannot."""
        if self._density(record) == 1 or not is_about_sizes(record.reason or ""):
            return ""
        skipped = self._study.history.measured[record.rung].skipped
        whole = sorted({n.rpartition(".")[0] or n for n, why in skipped if why == UNUSED})
        also = (
            f" The forward pass on example_inputs never used {', '.join(whole[:5])}"
            f"{' ...' if whole[5:] else ''}. Those modules were not pruned, and code that "
            "combines them with pruned layers fails. Use them in the forward pass, or exclude the "
            "layers that they are combined with from pruning, too."
            if whole
            else ""
        )
        return (
            "If training works with "
            "proxies=False, then train relies on a size that was pruned: read sizes from the "
            "tensors, or exclude modules from pruning with "
            "pruner=L1StructuredPruner(ignore=[...])."
            f"{also} "
        )


def _unknown_key(record: Record) -> str:
    """The names in the config, if a KeyError may come from another one; empty otherwise."""
    found = re.fullmatch(r"KeyError: '(.+)'", record.reason or "")
    if found is None or found[1] in record.trained_config:
        return ""
    unknown = unknown_name("hyperparameter", found[1], record.trained_config)
    return f"If the key was read from the config: {unknown}. "
