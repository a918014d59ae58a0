"""The trainings that failed."""

from __future__ import annotations

from typing import final

from typing_extensions import override

from proxyhpo._records.records import Record
from proxyhpo._report.wording import config_words, table
from proxyhpo.errors import printable

__all__ = ["Failures"]


@final
class Failures(list[Record]):
    """Trainings that failed, in the order in which they ended: a list that prints as a table.

    The tracebacks are not in the table, because they are long: ``print(failures[0].traceback)``.
    """

    @override
    def __repr__(self) -> str:
        if not self:
            return "no training failed"
        titles = ["trial", "rung", "reason", "config"]
        rows = [
            [record.trial, record.rung, record.reason, config_words(record.config)]
            for record in self
        ]
        return printable("\n".join(table(titles, rows)))
