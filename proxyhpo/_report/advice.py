"""The main findings of a result: the saving, the certainty of the best config, and next steps."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from proxyhpo._engine.standing import Noise, Standing
from proxyhpo._records.ending import EXHAUSTED, Ending
from proxyhpo._records.history import History
from proxyhpo._records.rung import Rung
from proxyhpo._report.cost import Cost
from proxyhpo._report.wording import rung_words

__all__ = ["Decision", "saving"]

_UNKNOWN = "the saving is unknown until a full training has ended"
_MANY = 100  # a lead of more than this many times the noise of a seed is not given as a number
_NOTABLE = 1 / 3  # a larger share of the cost outside of trainings is mentioned
_LATE = 0.8  # a best trial after this fraction of the trials counts as late


def saving(cost: Cost) -> tuple[str, str]:
    """The cost, and the estimated cost of the same trials on the full network, with a title.

    A full search has only a cost, unless it saved some by stopping trainings early.
    """
    if cost.saved is None or cost.base_trainings is None or cost.base_training_seconds is None:
        return "cost", f"{cost.seconds:.1f} s; {_UNKNOWN}"
    unit = (
        f"(a base training, one training of the full network, takes "
        f"{cost.base_training_seconds:.3g} s, {cost.base_training_source})"
    )
    spent = f"{cost.base_trainings:.1f} base trainings"
    if cost.overhead_seconds > _NOTABLE * cost.seconds:
        outside = cost.overhead_seconds / cost.base_training_seconds
        unit = f"{unit}; {outside:.1f} of them were spent on measuring networks and searching"
    if cost.base_training_source == "predicted":
        return "cost", f"{spent} {unit}; {_UNKNOWN}"
    if cost.is_full_search and cost.saved <= 0:
        return "cost", f"{spent} {unit}"
    share = f"{cost.saved:.0%}" if cost.saved > 0 else "nothing"
    return "saved", f"{share}: {spent} instead of {cost.full_search_base_trainings:.1f} {unit}"


@dataclass(frozen=True)
class Decision:
    """How certain it is that the best config is the best, and what to do next.

    Args:
        history: of the study.
        ladder: the rungs.
        standing: the trials of the full network, best first; at least one.
        noise: of a seed, if known.
        is_stored: whether the study has a store, so that it can be resumed with other arguments.
    """

    history: History
    ladder: Sequence[Rung]
    standing: Sequence[Standing]
    noise: Noise | None
    is_stored: bool

    @property
    def lead(self) -> float:
        """By how much the best trial is better than the runner-up."""
        return self.standing[1].loss - self.standing[0].loss

    @property
    def is_close(self) -> bool:
        """Whether the noise of a seed may explain the lead."""
        if len(self.standing) < 2:
            return False
        return self.standing[0].is_near(self.standing[1], self.noise)

    def best(self) -> str:
        """The best value and the runner-up's: the value of one seed, or the mean of several."""
        best, *others = self.standing
        text = f"{best.value:.6g} on the full network ({_basis(best)})"
        if not others:
            return text
        return f"{text}; runner-up {others[0].value:.6g} ({_basis(others[0])})"

    def certainty(self) -> str:
        """How the lead compares with the noise of a seed."""
        if len(self.standing) < 2:
            return "one config was trained on the full network: there is nothing to compare it with"
        if self.noise is None:
            return (
                f"not sure: the lead is {self.lead:.2g} with one seed each, and how much a value "
                "varies with the seed is not known"
            )
        if not self.lead:
            return "not sure: the best two configs have the same value"
        deviation = self.noise.deviation
        if self.is_close:
            margin = self.standing[0].margin(self.standing[1], self.noise)
            return (
                f"not sure: the lead is {self.lead:.2g}, and a lead below {margin:.2g} may be "
                f"chance (the standard deviation between seeds is {deviation:.2g}, estimated from "
                f"{self.noise.trainings} trainings)"
            )
        times = self.lead / deviation if deviation else math.inf
        many = f"{times:.2g}" if times < _MANY else f"over {_MANY}"
        return (
            f"the lead of {self.lead:.2g} is more than chance explains: it is {many} times the "
            f"standard deviation between seeds ({deviation:.2g}, estimated from "
            f"{self.noise.trainings} trainings)"
        )

    def steps(self, ending: Ending) -> Iterator[str]:
        """What to do next, the most useful first.

        Args:
            ending: of the run. It says itself how to make trainings that are left, which may be
                those of more seeds, and why there are fewer trials than were asked for.
        """
        if self.is_close and ending.state == "complete":
            repeats, does = f"repeats={self._repeats()}", "trains the best two with more seeds"
            if self.is_stored:
                yield f"ProxyHPO(..., {repeats}) with the same store {does}"
            else:
                yield (
                    f'a new search with ProxyHPO(..., {repeats}, store="study.db") trains '
                    "everything again, and the best two with more seeds"
                )
        if smaller := self._smaller():
            yield smaller
        trials = len(self.history.trials)
        if not ending.text and trials >= 10 and self.standing[0].trial >= _LATE * trials:
            late = f"the best config came late (trial {self.standing[0].trial})"
            if ending.n_further:
                yield f"{late}, so continue: hpo.run({trials + min(trials, ending.n_further):.0f})"
            else:
                yield f"{late}, but {EXHAUSTED}"

    def _repeats(self) -> int:
        """How many repeats in all give each of the best two trials two more seeds.

        Repeats of other trials count as well, because the argument limits the sum.
        """
        top = len(self.ladder) - 1
        made = sum(r.rung == top and r.replicate > 0 for r in self.history.records)
        seeds = [len(each.runs) for each in self.standing[:2]]
        return made + 2 * (max(seeds) + 2) - sum(seeds)

    def _smaller(self) -> str:
        """Names a proxy that was as good as the full network; empty if none was.

        The best proxy's value is optimistic, because it is the best of many. So if the noise of a
        seed is known, the proxy must be better by more than chance explains.
        """
        best = self.standing[0].loss
        if self.noise is not None:
            best -= self.noise.margin(1, len(self.standing[0].runs))
        for rung, wanted in enumerate(self.ladder):
            if wanted.budget < 1 or rung == len(self.ladder) - 1:
                continue
            ended = [r for r in self.history.records if r.rung == rung and r.state == "finished"]
            top = min(ended, key=lambda record: (record.loss, record.trial), default=None)
            if top is not None and top.loss is not None and top.loss <= best:
                words = rung_words(self.history, self.ladder, rung)
                return f"a proxy ({words}) reached {top.value:.6g}: a smaller network may be enough"
        return ""


def _basis(standing: Standing) -> str:
    """What a value is based on: its trial, and the number of seeds."""
    seeds = len(standing.runs)
    return f"trial {standing.trial}, {'1 seed' if seeds == 1 else f'mean of {seeds} seeds'}"
