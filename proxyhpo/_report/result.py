"""What a study found, what it cost, and whether its proxies could be trusted."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import nn

from proxyhpo._records.history import History
from proxyhpo._records.records import Config, Opening, Record
from proxyhpo._records.rung import Rung
from proxyhpo._report.cost import Cost, cost_of
from proxyhpo._report.fidelity import Fidelity, fidelities
from proxyhpo.errors import ArgumentError, NotClimbedError, printable

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Result"]


@dataclass(frozen=True, repr=False)
class Result:
    """A study as far as it has come. Nothing in it changes any more.

    Args:
        history: every trial and every training run.
        ladder: the rungs.
        direction: ``minimize`` or ``maximize``.
        best: the best training of the full network, if there is one.
        search_seconds: spent by the searcher.
        interrupted: whether Ctrl-C or a limit ended the study before it was complete.
        make_network: builds the full network for a config and loads weights into it.
        pretrained: whether the network's weights are trained: little is known of proxies of these.
    """

    history: History
    ladder: Sequence[Rung]
    direction: str
    best: Record | None
    search_seconds: float
    interrupted: bool
    make_network: Callable[[Record], nn.Module]
    pretrained: bool = False

    @property
    def best_record(self) -> Record:
        """The best training of the full network.

        Raises:
            NotClimbedError: if no training of the full network has succeeded.
        """
        if self.best is None:
            raise NotClimbedError(f"there is no best config: {self._not_climbed()}")
        return self.best

    @property
    def best_config(self) -> Config:
        """The config of the best training of the full network (objects by their labels)."""
        return dict(self.best_record.config)

    @property
    def best_value(self) -> float:
        """What the best training of the full network reported last, on validation data."""
        value = self.best_record.value
        assert value is not None, "a finished record has a value"
        return value

    def best_network(self) -> nn.Module:
        """The full network as its best training left it: that training is paid for."""
        return self.make_network(self.best_record)

    @property
    def records(self) -> Sequence[Record]:
        """Every training run that has ended, in order."""
        return tuple(self.history.records)

    @property
    def openings(self) -> Mapping[int, Opening]:
        """Rung → what was measured when it opened."""
        return dict(self.history.openings)

    @property
    def failures(self) -> Sequence[Record]:
        """The runs that failed, each with its config, reason and traceback."""
        return tuple(record for record in self.history.records if record.state == "failed")

    def leaderboard(self, rung: int = -1) -> Sequence[Record]:
        """The runs at a rung that ended well, best first.

        Args:
            rung: index in the ladder; negative ones count from the last, as in a list.

        Raises:
            ArgumentError: if there is no such rung.
        """
        if not isinstance(rung, int) or not -len(self.ladder) <= rung < len(self.ladder):
            raise ArgumentError(
                f"rung must be a whole number below {len(self.ladder)} (negative ones count from "
                f"the last), got {rung!r}"
            )
        index = rung % len(self.ladder)
        ended = [r for r in self.history.records if r.rung == index and r.loss is not None]
        return sorted(ended, key=lambda record: (record.state == "stopped", record.loss))

    @property
    def cost(self) -> Cost:
        """The ledger: what was spent where, and what a full search would have cost."""
        return cost_of(self.history, self.ladder, self.search_seconds)

    @property
    def fidelity(self) -> Sequence[Fidelity]:
        """How well each rung stands in for the next one, and the first for the last."""
        return fidelities(self.history, self.ladder)

    def to_frame(self) -> pd.DataFrame:
        """One row a training run; the config's columns are called ``config.<name>``.

        Raises:
            ImportError: if pandas is not installed.
        """
        try:
            import pandas as pd  # noqa: PLC0415 - optional
        except ImportError as error:
            raise ImportError("to_frame needs pandas: pip install 'proxyhpo[pandas]'") from error

        return pd.DataFrame([_row(record, self.openings) for record in self.records])

    def __repr__(self) -> str:
        """The findings in a few lines."""
        return printable("\n".join(self._lines()))

    def _repr_html_(self) -> str:
        """The same for a notebook, with the leaderboard; everything from outside is escaped."""
        head = html.escape("\n".join(self._lines()))
        rows = "".join(
            "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>"
            for cells in self._table()
        )
        titles = "".join(f"<th>{title}</th>" for title in ("trial", "density", "value", "config"))
        return f"<pre>{head}</pre><table><tr>{titles}</tr>{rows}</table>"

    def _not_climbed(self) -> str:
        """Why there is no best training of the full network, and what to do about it."""
        tried = [r for r in self.history.records if r.rung == len(self.ladder) - 1]
        failed = [record for record in tried if record.state == "failed"]
        if failed:
            return (
                f"all {len(failed)} trainings of the full network failed, the first with "
                f"{failed[0].reason!r} (result.failures has the tracebacks)"
            )
        if any(record.loss is not None for record in self.history.records):
            return (
                "the full network has not been trained: result.leaderboard(0) shows the best on "
                "the proxy, and climb() trains those on the full network"
            )
        if self.failures:
            first = self.failures[0].reason
            return f"all {len(self.failures)} trainings failed, the first with {first!r}"
        return "nothing has been trained yet: run() does"

    def _table(self) -> list[tuple[str, str, str, str]]:
        return [
            (
                str(record.trial),
                f"{self.openings[record.rung].density:g}",
                f"{record.value:.6g}",
                readable(record.config),
            )
            for rung in reversed(range(len(self.ladder)))
            for record in self.leaderboard(rung)[:5]
        ]

    def _lines(self) -> list[str]:
        state = "interrupted" if self.interrupted else "complete"
        lines = [f"Result ({self.direction}, {len(self.history.trials)} trials, {state})"]
        if self.best is None:
            lines.append(f"  {self._not_climbed()}")
        else:
            lines.append(f"  best value {self.best_value:.6g} on the full network with")
            lines.append(f"  {readable(self.best_config)}")
        lines.extend(f"  {line}" for line in str(self.cost).splitlines())
        lines.extend(f"  {line}" for each in self.fidelity for line in str(each).splitlines())
        for opening in self.history.openings.values():
            if opening.warning:
                lines.append(f"  {opening.warning}")
            if opening.exponents:
                powers = ", ".join(
                    f"{k} x width_ratio^{v:.3g}" for k, v in opening.exponents.items()
                )
                lines.append(
                    f"  at density {opening.density:g} (width_ratio {opening.width_ratio:.3g}) "
                    f"trained with {powers}" + (f" ({opening.basis})" if opening.basis else "")
                )
        if self.pretrained and len(self.ladder) > 1:
            lines.append(
                "  the network is pretrained, and little is known of proxies there: let more "
                "finalists decide"
            )
        if self.failures:
            lines.append(f"  {len(self.failures)} runs failed, first: {self.failures[0].reason}")
        return lines


def readable(config: Mapping[str, Any]) -> str:
    """A config in a line."""
    return ", ".join(
        f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value!r}"
        for name, value in config.items()
    )


def _row(record: Record, openings: Mapping[int, Opening]) -> dict[str, Any]:
    return {
        "trial": record.trial,
        "rung": record.rung,
        "density": openings[record.rung].density,
        "state": record.state,
        "value": record.value,
        "seconds": record.seconds,
        "reason": record.reason,
        **{f"config.{name}": value for name, value in record.config.items()},
        **{f"trained_with.{name}": value for name, value in record.trained_with.items()},
        **{f"metric.{name}": value for name, value in record.metrics.items()},
    }
