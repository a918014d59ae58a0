"""The result of a study: what it found, what it cost, and whether to trust its proxies."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from proxyhpo._records.ending import Ending
from proxyhpo._records.history import History
from proxyhpo._records.known import KnownResult
from proxyhpo._records.opening import Measurement, Opening
from proxyhpo._records.records import Config, Record
from proxyhpo._records.rung import Rung
from proxyhpo._report.card import card
from proxyhpo._report.cost import Cost
from proxyhpo._report.export import frame_of, json_of
from proxyhpo._report.failures import Failures
from proxyhpo._report.fidelity import Fidelity
from proxyhpo._report.importance import Importance, importance_of
from proxyhpo._report.leaderboard import leaderboard_of
from proxyhpo._report.summary import Findings
from proxyhpo._report.trained import trained_network
from proxyhpo._report.wording import Text
from proxyhpo._validation import check_whole
from proxyhpo.errors import NotClimbedError, StoreError, printable
from proxyhpo.space import Space

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["Result"]


@dataclass(frozen=True, repr=False)
class Result:
    """A snapshot of a study, which does not change while the study continues.

    It prints a summary of at most 12 lines. It can be pickled, but without the code of ``build``.

    Args:
        space: the space that was searched; choices of objects are choices of their labels.
        history: all trials and trainings.
        ladder: the rungs.
        direction: ``minimize`` or ``maximize``.
        best: the best training of the full network, if there is one.
        search_seconds: spent by the searcher.
        ending: how the last run ended, and how the search goes on.
        checked: what the last ``check`` of the same object found; None if there was none.
        why_full: why trials started on the full network, in one sentence; empty if none did.
        pretrained: whether the network's weights are trained. Proxies of pretrained networks are
            less well tested.
        is_stored: whether the study has a store.
        weights: loads the weights of a training by its name.
        build: makes the full network for a config.
    """

    space: Space
    history: History
    ladder: Sequence[Rung]
    direction: str
    best: Record | None
    search_seconds: float
    pretrained: bool = False
    ending: Ending = field(default=Ending())
    checked: Fidelity | None = None
    why_full: str = ""
    is_stored: bool = False
    weights: Callable[[str], Mapping[str, Tensor]] | None = None
    build: Callable[[Config], nn.Module] | None = None

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C, ``stop`` or a limit ended the run before its trials were complete."""
        return self.ending.state == "interrupted"

    @property
    def ended(self) -> str:
        """Why the run did not make all it was asked for, and what adds more; empty if it did."""
        return self.ending.text

    @property
    def best_record(self) -> Record:
        """The best training of the trial with the best mean over its seeds on the full network.

        With several seeds its own value is better than :attr:`best_value`, which is their mean.

        Raises:
            NotClimbedError: if no training of the full network has succeeded.
        """
        if self.best is None:
            raise NotClimbedError(f"there is no best config: {self._findings.not_climbed()}")
        return self.best

    @property
    def best_config(self) -> Config:
        """The config of the best training of the full network, with objects as their labels.

        Its values are plain: ``json.dump(result.best_config, file)`` writes a config file.
        """
        return dict(self.best_record.config)

    @property
    def best_value(self) -> float:
        """The value of the full network with the best config, as the mean over its seeds.

        With several seeds, the value of :meth:`best_network` is better: ``best_record.value``.
        """
        best = self.best_record.trial
        return next(each.value for each in self._findings.standing if each.trial == best)

    def best_weights(self) -> Mapping[str, Tensor]:
        """The ``state_dict`` of the best training of the full network, read at each call.

        Raises:
            NotClimbedError: if no training of the full network has succeeded.
            StoreError: see :meth:`weights_of`.
        """
        return self.weights_of(self.best_record)

    def best_network(self, network: nn.Module | None = None) -> nn.Module:
        """The full network with the weights of its best training, in eval mode.

        Its value is ``best_record.value``, and not the mean over several seeds.

        Args:
            network: see :meth:`network_of`.

        Raises:
            ArgumentError: see :meth:`network_of`.
            NotClimbedError: if no training of the full network has succeeded.
            StoreError: see :meth:`network_of`.
        """
        return self.network_of(self.best_record, network)

    def top(self, k: int = 3) -> Sequence[Record]:
        """The best trainings of the full network, one for each of the ``k`` best trials.

        :meth:`network_of` returns their networks, for the best three, whose weights are kept.

        Args:
            k: how many; fewer are returned if fewer trials have finished.

        Raises:
            ArgumentError: if ``k`` is not a whole number above 0.
        """
        best = [each.best for each in self._findings.standing]
        return best[: check_whole("top: k", k, 1)]

    def weights_of(self, record: Record) -> Mapping[str, Tensor]:
        """The ``state_dict`` that was kept from a training of the full network, on the CPU.

        Args:
            record: of the training, such as one from :meth:`top`.

        Raises:
            StoreError: if the weights were not kept, were replaced by those of a better training,
                or cannot be read.
        """
        if self.weights is None:
            raise StoreError(f"the weights of trial {record.trial} were not kept")
        try:
            return self.weights(record.id.name)
        except StoreError as error:
            raise StoreError(
                f"{error}. A study keeps the weights of its best three trials; those of an asked "
                "trial, if tell() was given network="
            ) from error

    def network_of(self, record: Record, network: nn.Module | None = None) -> nn.Module:
        """The full network with the weights of a training, in eval mode.

        Args:
            record: of the training, such as one from :meth:`top`.
            network: the network to load the weights into. By default the study's ``build`` makes
                one. A result from ``load_study`` or from a pickle has no ``build``.

        Raises:
            ArgumentError: if there is no ``build`` and no ``network`` is given.
            StoreError: see :meth:`weights_of`; also if the weights do not fit the network.
        """
        return trained_network(record, self.weights_of(record), self.build, network)

    @property
    def records(self) -> Sequence[Record]:
        """All trainings that have ended, in order."""
        return tuple(self.history.records)

    @property
    def known(self) -> Sequence[KnownResult]:
        """Results of the full network that were added, best first; not trained and not charged."""
        return sorted(self.history.known, key=lambda known: known.loss)

    @property
    def measured(self) -> Mapping[int, Measurement]:
        """Rung → measurement of its network."""
        return dict(self.history.measured)

    @property
    def openings(self) -> Mapping[int, Opening]:
        """Rung → what the transfer decided when the rung opened."""
        return dict(self.history.openings)

    @property
    def failures(self) -> Sequence[Record]:
        """The trainings that failed, each with its config, reason and traceback.

        The list prints as a table without the tracebacks: ``print(result.failures[0].traceback)``.
        """
        return Failures(self._findings.failures)

    def leaderboard(self, rung: int = -1) -> Sequence[Record]:
        """The trainings at a rung that did not fail, best first; stopped ones come last.

        The list prints as a table. A trial that was trained under several seeds is ranked by its
        mean. Each of its trainings has its own line, which shows the number of the seed and the
        mean.

        Args:
            rung: index in the ladder; negative indices count from the end.

        Raises:
            ArgumentError: if there is no such rung.
        """
        return leaderboard_of(self.history, len(self.ladder), rung)

    @property
    def cost(self) -> Cost:
        """The cost of the study, and the estimated cost of a full search."""
        return self._findings.cost

    @property
    def fidelity(self) -> Sequence[Fidelity]:
        """How well each rung stands in for the next one, and finally the first for the last."""
        return self._findings.fidelity

    @cached_property
    def importance(self) -> Importance | None:
        """How much the order of the configs depends on each hyperparameter; None if too few ran.

        It is computed for the rung with the most finished trainings, if there are at least ten.
        """
        return importance_of(self)

    def most_important(self, n: int) -> Sequence[str]:
        """The names of the ``n`` most important hyperparameters; see :attr:`importance`.

        If it is unknown, they are the first ones of the space. Those with a single value come last.
        """
        names = self.space.names
        known = self.importance if len(names) > n else None
        found = names if known is None else known.decrease
        return sorted(found, key=lambda name: self.space[name].size == 1)[:n]

    def plot(self) -> Figure:
        """A figure of four plots; :mod:`proxyhpo.plots` has these and others.

        Raises:
            ImportError: if matplotlib is not installed.
        """
        return import_module("proxyhpo.plots").plot_summary(self)  # type: ignore[no-any-return]

    def ledger(self) -> str:
        """A table with one line per rung: what was trained, how it was corrected, and the cost."""
        return Text(printable("\n".join(self._findings.ledger())))

    def to_frame(self, *, curves: bool = False) -> pd.DataFrame:
        """One row per training; the config's columns are named ``config.<name>``.

        Args:
            curves: whether to return one row per report instead, with its ``step`` and metrics.

        Raises:
            ImportError: if pandas is not installed.
        """
        return frame_of(self, curves=curves)

    def to_json(self) -> dict[str, Any]:
        """Everything as nested JSON data: what was searched and found, the cost, all records."""
        return json_of(self)

    def __repr__(self) -> str:
        """A summary of at most 12 lines: best config, cost, trust, and next steps."""
        return printable("\n".join(self._findings.summary()))

    def _repr_html_(self) -> str:
        """A card for notebooks; everything in it is escaped."""
        return card(self, self._findings)

    def save_html(self, path: str | Path) -> Path:
        """Writes one HTML file with the card, all plots, leaderboards, costs and failures.

        The file is self-contained. ``python -m proxyhpo report study.db`` writes the same from a
        store. Without matplotlib it has no plots, and says so.

        Args:
            path: of the file, such as ``"study.html"``; replaced if it exists.

        Returns:
            The path of the file.
        """
        page: str = import_module("proxyhpo._study_page").study_page(self)
        path = Path(path)
        path.write_text(page, encoding="utf-8")
        return path

    def __getstate__(self) -> dict[str, Any]:
        kept = {field.name: getattr(self, field.name) for field in fields(self)}
        return {**kept, "build": None}  # the user's function may not be picklable

    @cached_property
    def _findings(self) -> Findings:
        return Findings(**{field.name: getattr(self, field.name) for field in fields(Findings)})
