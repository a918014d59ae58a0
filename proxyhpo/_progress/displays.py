"""Displays for terminals and for files: a bar that is redrawn, and plain lines."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from typing import Any, final

from typing_extensions import override

from proxyhpo._progress.status import RungStatus, Status

__all__ = ["Bar", "Display", "Lines"]


class Display(ABC):
    """Shows the status of a study. An exception ends the display, not the study."""

    @abstractmethod
    def interval(self, elapsed: float) -> float:
        """Seconds until the next status, when the run has lasted ``elapsed`` seconds."""

    @abstractmethod
    def show(self, status: Status) -> None:
        """Replaces the previous status by this one."""

    @abstractmethod
    def close(self, status: Status, end: str) -> None:
        """Shows the last status, and in words how the run ended."""


@final
class Lines(Display):
    """Prints lines for logs: every 5 seconds at first, later once a minute.

    A status that has not changed is not printed again.
    """

    def __init__(self) -> None:
        self._last = ""

    @override
    def interval(self, elapsed: float) -> float:
        return min(60.0, max(5.0, elapsed / 20))

    @override
    def show(self, status: Status) -> None:
        if status.ended or status.running:
            self._print(status, "")

    @override
    def close(self, status: Status, end: str) -> None:
        self._print(status, end)

    def _print(self, status: Status, end: str) -> None:
        rungs = [f"{rung.words} {_counted(rung)}" for rung in status.rungs]
        facts = status.facts(left=not end)
        line = " | ".join([*rungs, *facts, *([end] if end else [])])
        if line != self._last:
            print(f"proxyhpo: {line}", file=sys.stderr, flush=True)  # noqa: T201 - what it is for
            self._last = line


@final
class Bar(Display):
    """One line in a terminal, redrawn by tqdm."""

    def __init__(self) -> None:
        # Not tqdm.auto, which warns in notebooks without ipywidgets; these have a panel.
        from tqdm.std import tqdm  # noqa: PLC0415 - only when a bar is wanted

        self._bar: Any = tqdm(
            bar_format="{desc} |{bar}| {n_fmt}/{total_fmt}{postfix}", total=0, dynamic_ncols=True
        )

    @override
    def interval(self, elapsed: float) -> float:
        return 0.2

    @override
    def show(self, status: Status) -> None:
        current = next((r for r in reversed(status.rungs) if r.running), status.rungs[0])
        self._draw(status, status.expected, current.words, status.facts())

    @override
    def close(self, status: Status, end: str) -> None:
        self._draw(status, status.expected or status.ended, end, status.facts(left=False))
        self._bar.close()

    def _draw(self, status: Status, total: int | None, words: str, facts: list[str]) -> None:
        self._bar.total, self._bar.n = total, status.ended
        self._bar.set_description_str(words, refresh=False)
        self._bar.postfix = ", ".join(facts)
        self._bar.refresh()


def _counted(rung: RungStatus) -> str:
    return f"{rung.ended} done" if rung.expected is None else f"{rung.ended}/{rung.expected}"
