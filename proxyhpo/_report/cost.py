"""The cost of a study, in seconds and in *base trainings*: full trainings of the full network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from proxyhpo._engine.prediction import (
    Timing,
    n_reports,
    outside_steps,
    share_of_training,
    step_ratio,
)
from proxyhpo._records.history import History
from proxyhpo._records.records import Record
from proxyhpo._records.rung import Rung
from proxyhpo.errors import counted

__all__ = ["Cost", "RungCost", "cost_of"]


@dataclass(frozen=True)
class RungCost:
    """The cost of the trainings at one rung.

    Args:
        density: of the networks that were trained.
        budget: fraction of a full training.
        runs: number of trainings, including failed ones.
        failed: how many of them failed.
        stopped: how many of them were stopped early.
        retried: how many were retried after their worker died.
        seconds: total, including trainings whose worker died.
        base_trainings: the same in base trainings; None if unknown.
        flops_base_trainings: base trainings if time were proportional to FLOPs; None if these
            cannot be counted.
    """

    density: float
    budget: float
    runs: int
    failed: int
    stopped: int
    retried: int
    seconds: float
    base_trainings: float | None
    flops_base_trainings: float | None


@dataclass(frozen=True, repr=False)
class Cost:
    """The cost ledger of a study. It includes everything: failures, search and measurements.

    Args:
        rungs: one entry for each rung, from the first.
        search_seconds: spent by the searcher.
        measuring_seconds: spent on tracing the network, planning the pruning, and building and
            measuring networks. Charged once, however often the study is resumed.
        base_training_seconds: one full training of the full network; None if unknown.
        base_training_source: ``measured`` on the finalists, or ``predicted`` from the step times
            and the number of steps of the proxies' trainings.
        full_search_seconds: estimated cost of training every trial in full on the full network;
            None if unknown. It is the proxies' seconds times a ratio, which is measured on the
            finalists if possible, and otherwise predicted. A stopped training counts with its
            estimated full length. The estimate is at most one base training per trial, so that
            varying times on a busy machine cannot make the saving look larger; but not if configs
            have different networks, because those of the finalists may be smaller than the others.
            Each full training corrects the estimate, so it may also fall during a run.
        predicted_full_search_seconds: the same with the ratio of step times, for comparison. It is
            too large, because a training does more than steps.
        n_trials: number of trials that ended at rung 0, or on the full network if they started
            there.
        fixed_share: share of a full training that no proxy makes faster, because it is spent
            outside the network's steps; measured on the finalists. None until a trial has been
            trained on both networks, or if configs have different networks.
    """

    rungs: Sequence[RungCost]
    search_seconds: float
    measuring_seconds: float
    base_training_seconds: float | None
    base_training_source: str
    full_search_seconds: float | None
    predicted_full_search_seconds: float | None
    n_trials: int
    fixed_share: float | None = None

    @property
    def seconds(self) -> float:
        """The total cost in seconds."""
        trials = sum(rung.seconds for rung in self.rungs)
        return trials + self.overhead_seconds

    @property
    def overhead_seconds(self) -> float:
        """Seconds spent outside of the trainings."""
        return self.search_seconds + self.measuring_seconds

    @property
    def base_trainings(self) -> float | None:
        """The total cost in base trainings; None if their length is unknown."""
        return _ratio(self.seconds, self.base_training_seconds)

    @property
    def full_search_base_trainings(self) -> float | None:
        """The estimated cost of a search on the full network, in base trainings."""
        return _ratio(self.full_search_seconds, self.base_training_seconds)

    @property
    def is_full_search(self) -> bool:
        """Whether every training was one of the full network, so that proxies saved nothing."""
        return not any(rung.runs for rung in self.rungs[:-1])

    @property
    def saved(self) -> float | None:
        """Fraction of the full search's cost that was saved; negative if the study cost more."""
        share = _ratio(self.seconds, self.full_search_seconds)
        return None if share is None else 1 - share

    def __repr__(self) -> str:
        """A summary, with one fact per line."""
        lines = []
        if self.base_trainings is not None and self.full_search_base_trainings is not None:
            lines.append(
                f"cost: {self.base_trainings:.1f} base trainings instead of "
                f"{self.full_search_base_trainings:.1f} ({self.seconds:.1f} s; one base training "
                f"is {self.base_training_seconds:.2f} s, {self.base_training_source})"
            )
        else:
            lines.append(f"cost: {self.seconds:.1f} s")
        if self.fixed_share is not None:
            lines.append(f"  {outside_steps(self.fixed_share)}")
        for rung in self.rungs:
            base = rung.base_trainings
            in_base = "" if base is None else f" = {base:.1f} base trainings"
            budget = f", budget {rung.budget:g}" if rung.budget < 1 else ""
            flops = rung.flops_base_trainings
            in_base += "" if flops is None else f" ({flops:.1f} by FLOPs)"
            ended = f", {rung.failed} failed" if rung.failed else ""
            ended += f", {rung.stopped} stopped" if rung.stopped else ""
            ended += f", {rung.retried} retried after their worker died" if rung.retried else ""
            lines.append(
                f"  density {rung.density:g}{budget}: {counted(rung.runs, 'training')}"
                f"{ended}, {rung.seconds:.1f} s{in_base}"
            )
        lines.append(
            f"  outside the trainings: {self.search_seconds:.1f} s searching, "
            f"{self.measuring_seconds:.1f} s measuring"
        )
        return "\n".join(lines)


def cost_of(history: History, ladder: Sequence[Rung], search_seconds: float) -> Cost:
    """Computes the cost of a history."""
    by_rung: list[list[Record]] = [[] for _ in ladder]
    for record in history.records:
        by_rung[record.rung].append(record)
    top, timing = len(ladder) - 1, Timing(ladder, history)
    # Trials that started on the full network, because the search no longer used proxies.
    began_below = {record.trial for record in by_rung[0]}
    direct = [r for r in by_rung[top] if top and r.trial not in began_below]
    # A ratio that is only an upper bound would make the saving look larger than it is.
    ratio = timing.ratio(top) if timing.is_known(top) else None
    full_search = _scaled(by_rung[0], ratio, direct)
    n_trials = len(by_rung[0]) + len(direct)
    measured = [r.seconds for r in by_rung[-1] if r.state == "finished"]
    unit = fmean(measured) if measured else _predicted(by_rung[0], ratio, direct)
    if full_search is not None and unit is not None and not timing.has_many_networks:
        full_search = min(full_search, n_trials * unit)
    return Cost(
        rungs=[
            _rung_cost(history, rung, records, ladder[rung], unit)
            for rung, records in enumerate(by_rung)
            if rung in history.openings
        ],
        search_seconds=search_seconds,
        measuring_seconds=history.measuring_seconds,
        base_training_seconds=unit,
        base_training_source="measured" if measured else "predicted",
        full_search_seconds=full_search,
        predicted_full_search_seconds=_scaled(by_rung[0], step_ratio(history, ladder, top), direct),
        fixed_share=timing.fixed_share,
        n_trials=n_trials,
    )


def _scaled(lower: Sequence[Record], ratio: float | None, direct: Sequence[Record]) -> float | None:
    """The estimated seconds of all trials on the full network, each trained in full.

    Args:
        lower: the trainings at rung 0.
        ratio: how many times longer they take on the full network.
        direct: the trainings of trials that began on the full network.
    """
    if (lower and ratio is None) or not (lower or direct):
        return None
    below, above = n_reports(lower), n_reports(direct)
    return sum(
        r.overhead_seconds + r.training_seconds / share_of_training(r, below) * (ratio or 1.0)
        for r in lower
    ) + sum(r.overhead_seconds + r.training_seconds / share_of_training(r, above) for r in direct)


def _predicted(
    lower: Sequence[Record], ratio: float | None, direct: Sequence[Record]
) -> float | None:
    """The estimated seconds of one full training; None if all trainings have failed."""
    lower, direct = ([r for r in records if r.state != "failed"] for records in (lower, direct))
    return _ratio(_scaled(lower, ratio, direct), len(lower) + len(direct))


def _rung_cost(
    history: History, rung: int, records: Sequence[Record], wanted: Rung, unit: float | None
) -> RungCost:
    measured = history.measured[rung]
    top = max(history.measured.values(), key=lambda other: other.density)
    share = _ratio(measured.flops, top.flops)
    deaths = [death.seconds for death in history.deaths if death.rung == rung]
    seconds = sum(record.seconds for record in records) + sum(deaths)
    whole = n_reports(records)
    trainings = wanted.budget * sum(share_of_training(record, whole) for record in records)
    return RungCost(
        density=measured.density,
        budget=wanted.budget,
        runs=len(records),
        failed=sum(record.state == "failed" for record in records),
        stopped=sum(record.state == "stopped" for record in records),
        retried=len(deaths),
        seconds=seconds,
        base_trainings=_ratio(seconds, unit),
        flops_base_trainings=None if share is None else trainings * share,
    )


def _ratio(part: float | None, whole: float | None) -> float | None:
    return None if part is None or not whole else part / whole
