"""Ends a study whose first trainings all raise exceptions, with an error that explains why."""

from __future__ import annotations

from proxyhpo._engine.study import Study
from proxyhpo._records.records import Record
from proxyhpo.channels.find.owned import UNUSED
from proxyhpo.errors import TrainingFailedError

__all__ = ["EXCEPTIONS_TO_GIVE_UP", "Judge"]

EXCEPTIONS_TO_GIVE_UP = 5


class Judge:
    """Ends the study if all of its first trainings raise exceptions."""

    def __init__(self, study: Study) -> None:
        self._study = study
        self._hopeful = any(record.value is not None for record in study.history.records)
        self._raised: list[Record] = []

    def consider(self, record: Record) -> None:
        """Counts a record.

        Raises:
            TrainingFailedError: at the fifth exception in a row, if no training has succeeded yet.
        """
        self._hopeful = self._hopeful or record.value is not None
        if self._hopeful:
            return
        if record.traceback is None:  # NaN, out of memory or a dead worker
            self._raised.clear()
            return
        self._raised.append(record)
        if len(self._raised) >= EXCEPTIONS_TO_GIVE_UP:
            first = self._raised[0]
            raise TrainingFailedError(
                f"the first {len(self._raised)} trainings all failed. {self._trained(first)}The "
                f"first traceback, with {first.trained_config}:\n\n{first.traceback}"
            )

    def _trained(self, record: Record) -> str:
        """Says which proxy was trained; empty if it was the full network."""
        measured = self._study.history.measured.get(record.rung)
        if measured is None or measured.density == 1:
            return ""
        tried = any(other.rung == self._study.top for other in self._study.history.records)
        whole = sorted({n.rpartition(".")[0] or n for n, why in measured.skipped if why == UNUSED})
        also = (
            f" The forward pass on example_inputs never used {', '.join(whole[:5])}"
            f"{' ...' if whole[5:] else ''}. Those modules were not pruned, and code that "
            "combines them with pruned layers fails. Use them in the forward pass, or exclude the "
            "layers that they are combined with from pruning, too."
            if whole
            else ""
        )
        return (
            f"They trained a pruned copy of the network, at density {measured.density:.3g}; the "
            f"full network has {'also' if tried else 'not'} been tried. If training works with "
            "ladder=[Rung(1)], then train relies on a size that was pruned: read sizes from the "
            "tensors, or exclude modules from pruning with "
            "pruner=L1StructuredPruner(ignore=[...])."
            f"{also} "
        )
